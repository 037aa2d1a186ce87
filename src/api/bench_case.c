/* Cases from words: `einsum 'ab,bc->ac' 64 64 64` as operands, equations and what must come out. */
#include "api/bench.h"

#include <stdlib.h>
#include <string.h>

bool fuse_bench_number(int64_t *out, const char *text) {
    static const char units[] = "KMG";
    if (*text < '0' || *text > '9')
        return false;
    char *end;
    long long number = strtoll(text, &end, 10);
    const char *unit = *end ? strchr(units, *end) : NULL;
    int shift = unit ? 10 * (int)(unit - units + 1) : 0;
    if (number <= 0 || number > (INT64_C(1) << 40) >> shift || (*end && (!unit || end[1])))
        return false;
    *out = (int64_t)number << shift;
    return true;
}

/* Extents by letter. */
struct extents {
    int64_t of[128];
    char order[53]; /* letters as they appear */
    int n;
};

static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static enum fuse_status take_letters(struct extents *extents, const char *axes, struct fuse_error *err) {
    if (strlen(axes) > FUSE_MAX_AXES)
        return fuse_fail(err, FUSE_EUSAGE, "'%s' has more than %d axes", axes, FUSE_MAX_AXES);
    for (const char *at = axes; *at; at++) {
        if (!is_letter(*at))
            return fuse_fail(err, FUSE_EUSAGE, "'%c' in '%s' is no index: indices are letters", *at, axes);
        if (!strchr(extents->order, *at))
            extents->order[extents->n++] = *at;
    }
    return FUSE_OK;
}

/* "64", or "a=64" for one letter; one plain number is the extent of every letter. */
static enum fuse_status take_extents(struct extents *extents, int words, const char *const *word,
                                     struct fuse_error *err) {
    int plain = 0;
    for (int i = 0; i < words; i++) {
        bool named = is_letter(word[i][0]) && word[i][1] == '=';
        int64_t number;
        if (!fuse_bench_number(&number, named ? word[i] + 2 : word[i]))
            return fuse_fail(err, FUSE_EUSAGE, "'%s' is no extent", word[i]);
        if (named && !strchr(extents->order, word[i][0]))
            return fuse_fail(err, FUSE_EUSAGE, "'%s': there is no index '%c'", word[i], word[i][0]);
        if (!named && plain == extents->n)
            return fuse_fail(err, FUSE_EUSAGE, "'%s' is one extent too many: the indices are %s", word[i],
                             extents->order);
        extents->of[(int)(named ? word[i][0] : extents->order[plain++])] = number;
    }
    for (int i = 0; i < extents->n; i++) {
        int64_t *extent = &extents->of[(int)extents->order[i]];
        if (*extent == 0 && plain == 1)
            *extent = extents->of[(int)extents->order[0]];
        if (*extent == 0) {
            fuse_fail(err, FUSE_EUSAGE, "index '%c' has no extent", extents->order[i]);
            fuse_hint(err, "extents stand behind the equation, for the indices %s in this order, or as %c=64",
                      extents->order, extents->order[i]);
            return FUSE_EUSAGE;
        }
    }
    return FUSE_OK;
}

enum fuse_dtype fuse_bench_reals(const struct fuse_bench *bench) {
    const char *precision = bench->options.precision;
    return precision && strcmp(precision, "fp64") == 0 ? FUSE_F64 : FUSE_F32;
}

void fuse_bench_set_tensor(struct fuse_bench_tensor *t, struct fuse_bench *bench, const char *name, const char *axes,
                           const int64_t *extent) {
    *t = (struct fuse_bench_tensor){.name = name,
                                    .axes = fuse_arena_printf(bench->arena, "%s", axes),
                                    .dtype = fuse_bench_reals(bench),
                                    .rank = (int)strlen(axes),
                                    .lo = -1,
                                    .hi = 1};
    t->path = fuse_bench_path(bench, fuse_arena_printf(bench->arena, "%s.npy", name));
    for (int a = 0; a < t->rank; a++)
        t->extent[a] = extent[a];
}

static void set_tensor(struct fuse_bench_tensor *t, struct fuse_bench *bench, const char *name, const char *axes,
                       const struct extents *extents) {
    int64_t extent[FUSE_MAX_AXES];
    for (int a = 0; axes[a]; a++)
        extent[a] = extents->of[(int)axes[a]];
    fuse_bench_set_tensor(t, bench, name, axes, extent);
}

static void add_reference(struct fuse_text *text, const struct fuse_bench_tensor *t) {
    fuse_text_add(text, "%s[", t->name);
    for (int a = 0; a < t->rank; a++)
        fuse_text_add(text, "%s%c", a ? "," : "", t->axes[a]);
    fuse_text_add(text, "]");
}

static const char *shape_text(struct fuse_arena *arena, const struct extents *extents) {
    struct fuse_text text = {.arena = arena};
    for (int i = 0; i < extents->n; i++)
        fuse_text_add(&text, "%s%c=%lld", i ? " " : "", extents->order[i],
                      (long long)extents->of[(int)extents->order[i]]);
    return text.at ? text.at : "";
}

static int64_t elems(const struct fuse_bench_tensor *t) {
    int64_t n = 1;
    for (int a = 0; a < t->rank; a++)
        n = fuse_sat_mul(n, t->extent[a]);
    return n;
}

void fuse_bench_count_bytes(struct fuse_bench_case *c) {
    c->bytes = (double)elems(&c->out) * (double)fuse_dtype_bytes(c->out.dtype);
    for (int i = 0; i < c->operands; i++)
        c->bytes += (double)elems(&c->operand[i]) * (double)fuse_dtype_bytes(c->operand[i].dtype);
}

/* ---- products and transposes ---- */

/* Letters between commas, in the arena. */
static enum fuse_status split_equation(struct fuse_bench_case *out, const char *axes[], const char **result,
                                       struct fuse_bench *bench, const char *equation, struct fuse_error *err) {
    const char *arrow = strstr(equation, "->");
    if (!arrow) {
        fuse_fail(err, FUSE_EUSAGE, "'%s' is no equation", equation);
        fuse_hint(err, "operands and a result: 'ab,bc->ac'");
        return FUSE_EUSAGE;
    }
    *result = arrow + 2;
    for (const char *at = equation;; at++) {
        size_t n = strcspn(at, ",-");
        if (out->operands == FUSE_BENCH_OPERANDS)
            return fuse_fail(err, FUSE_EUSAGE, "'%s' has more than %d operands", equation, FUSE_BENCH_OPERANDS);
        axes[out->operands++] = fuse_arena_strndup(bench->arena, at, n);
        at += n;
        if (*at != ',')
            return FUSE_OK;
    }
}

static enum fuse_status check_result(const char *equation, const char *result, const struct extents *extents,
                                     struct fuse_error *err) {
    for (const char *at = result; *at; at++) {
        if (!strchr(extents->order, *at))
            return fuse_fail(err, FUSE_EUSAGE, "'%c' in the result of '%s' is no index of an operand", *at, equation);
        if (strchr(at + 1, *at))
            return fuse_fail(err, FUSE_EUSAGE, "'%c' stands twice in the result of '%s'", *at, equation);
    }
    if (strlen(result) > FUSE_MAX_AXES)
        return fuse_fail(err, FUSE_EUSAGE, "the result of '%s' has more than %d axes", equation, FUSE_MAX_AXES);
    return FUSE_OK;
}

static enum fuse_status make_einsum(struct fuse_bench_case *out, struct fuse_bench *bench, const char *kind,
                                    const char *equation, int words, const char *const *word, int weak_ranks,
                                    struct fuse_error *err) {
    const char *axes[FUSE_BENCH_OPERANDS], *result;
    struct extents extents = {0};
    out->kind = kind;
    out->what = equation;
    FUSE_TRY(split_equation(out, axes, &result, bench, equation, err));
    for (int i = 0; i < out->operands; i++)
        FUSE_TRY(take_letters(&extents, axes[i], err));
    FUSE_TRY(check_result(equation, result, &extents, err));
    FUSE_TRY(take_extents(&extents, words, word, err));
    if (weak_ranks > 1 && extents.n > 0)
        extents.of[(int)extents.order[0]] *= weak_ranks;
    out->shape = shape_text(bench->arena, &extents);
    struct fuse_text text = {.arena = bench->arena};
    set_tensor(&out->out, bench, "Out", result, &extents);
    add_reference(&text, &out->out);
    fuse_text_add(&text, " =");
    for (int i = 0; i < out->operands; i++) {
        set_tensor(&out->operand[i], bench, fuse_arena_printf(bench->arena, "X%d", i), axes[i], &extents);
        fuse_text_add(&text, " ");
        add_reference(&text, &out->operand[i]);
    }
    fuse_text_add(&text, "\n");
    out->program = text.at;
    out->check = fuse_bench_check_einsum;
    if (out->operands > 1) {
        out->flops = 2;
        for (int i = 0; i < extents.n; i++)
            out->flops *= (double)extents.of[(int)extents.order[i]];
    }
    fuse_bench_count_bytes(out);
    return FUSE_OK;
}

static enum fuse_status make_gemm(struct fuse_bench_case *out, struct fuse_bench *bench, int words,
                                  const char *const *word, int weak_ranks, struct fuse_error *err) {
    enum fuse_dtype dtype;
    const bool typed = words > 0 && fuse_bench_type(&dtype, word[0]);
    words -= typed;
    word += typed;
    if (words != 1 && words != 3)
        return fuse_fail(
            err, FUSE_EUSAGE,
            "gemm takes N, or M N K, and before them f16, bf16, i8, u8 or bool, if operands are to be such");
    const char *order[3] = {word[0], word[words - 1], words == 3 ? word[1] : word[0]}; /* a, b, c of ab,bc->ac */
    FUSE_TRY(make_einsum(out, bench, "gemm", "ab,bc->ac", 3, order, weak_ranks, err));
    if (typed)
        fuse_bench_set_type(out, bench, dtype);
    return FUSE_OK;
}

static enum fuse_status make_transpose(struct fuse_bench_case *out, struct fuse_bench *bench, int words,
                                       const char *const *word, int weak_ranks, struct fuse_error *err) {
    if (words < 1)
        return fuse_fail(err, FUSE_EUSAGE, "transpose takes a permutation and extents: transpose 'abc->cba' 64 64 64");
    FUSE_TRY(make_einsum(out, bench, "transpose", word[0], words - 1, word + 1, weak_ranks, err));
    if (out->operands != 1 || out->out.rank != out->operand[0].rank)
        return fuse_fail(err, FUSE_EUSAGE, "'%s' is no transpose: one operand, and the same indices on both sides",
                         word[0]);
    return FUSE_OK;
}

/* ---- maps and attention ---- */

static enum fuse_status make_map(struct fuse_bench_case *out, struct fuse_bench *bench, int words,
                                 const char *const *word, int weak_ranks, struct fuse_error *err) {
    const struct fuse_bench_map *map = NULL;
    struct fuse_text names = {.arena = bench->arena};
    for (int i = 0; i < fuse_bench_map_count; i++) {
        fuse_text_add(&names, "%s%s", i ? ", " : "", fuse_bench_maps[i].name);
        if (words > 0 && strcmp(fuse_bench_maps[i].name, word[0]) == 0)
            map = &fuse_bench_maps[i];
    }
    if (!map) {
        fuse_fail(err, FUSE_EUSAGE, words > 0 ? "there is no map '%s'" : "map takes a name and extents",
                  words > 0 ? word[0] : "");
        fuse_hint(err, "the maps are %s", names.at);
        return FUSE_EUSAGE;
    }
    struct extents extents = {.order = "ij", .n = map->rank};
    extents.order[map->rank] = '\0';
    out->kind = "map";
    out->what = map->name;
    out->context = map;
    FUSE_TRY(take_extents(&extents, words - 1, word + 1, err));
    extents.of['i'] *= weak_ranks > 1 ? weak_ranks : 1;
    out->shape = shape_text(bench->arena, &extents);
    out->operands = map->operands;
    for (int i = 0; i < map->operands; i++) {
        set_tensor(&out->operand[i], bench, i ? "B" : "X", extents.order, &extents);
        out->operand[i].lo = map->lo;
        out->operand[i].hi = map->hi;
    }
    set_tensor(&out->out, bench, "Out", extents.order, &extents);
    out->program = fuse_arena_printf(bench->arena, "%s\n", map->expression);
    out->check = fuse_bench_check_map;
    fuse_bench_count_bytes(out);
    return FUSE_OK;
}

static enum fuse_status make_attention(struct fuse_bench_case *out, struct fuse_bench *bench, int words,
                                       const char *const *word, int weak_ranks, struct fuse_error *err) {
    struct extents extents = {.order = "hpdqe", .n = 5};
    int64_t number[3];
    if (words != 3)
        return fuse_fail(err, FUSE_EUSAGE, "attention takes HEADS, POSITIONS and the DEPTH of a head");
    for (int i = 0; i < 3; i++)
        if (!fuse_bench_number(&number[i], word[i]))
            return fuse_fail(err, FUSE_EUSAGE, "'%s' is no extent", word[i]);
    extents.of['h'] = number[0] * (weak_ranks > 1 ? weak_ranks : 1);
    extents.of['p'] = extents.of['q'] = number[1];
    extents.of['d'] = extents.of['e'] = number[2];
    out->kind = "attention";
    out->what = bench->request->causal ? "causal" : "full";
    out->shape = fuse_arena_printf(bench->arena, "h=%lld p=%lld d=%lld", (long long)extents.of['h'],
                                   (long long)number[1], (long long)number[2]);
    out->operands = 3;
    set_tensor(&out->operand[0], bench, "Q", "hpd", &extents);
    set_tensor(&out->operand[1], bench, "K", "hqd", &extents);
    set_tensor(&out->operand[2], bench, "V", "hqe", &extents);
    set_tensor(&out->out, bench, "Out", "hpe", &extents);
    out->program = fuse_arena_printf(bench->arena, "Out[h,p,e] = attention(Q[h,p,d], K[h,q,d], V[h,q,e]%s)\n",
                                     bench->request->causal ? ", causal=true" : "");
    out->flops = 4.0 * (double)extents.of['h'] * (double)number[1] * (double)number[1] * (double)number[2];
    if (bench->request->causal)
        out->flops /= 2;
    out->check = fuse_bench_check_attention;
    fuse_bench_count_bytes(out);
    return FUSE_OK;
}

enum fuse_status fuse_bench_make_case(struct fuse_bench_case *out, struct fuse_bench *bench, int words,
                                      const char *const *word, int weak_ranks, struct fuse_error *err) {
    const char *kind = words > 0 ? word[0] : "";
    *out = (struct fuse_bench_case){.is_double = fuse_bench_reals(bench) == FUSE_F64, .dtype = fuse_bench_reals(bench)};
    if (strcmp(kind, "gemm") == 0)
        return make_gemm(out, bench, words - 1, word + 1, weak_ranks, err);
    if (strcmp(kind, "einsum") == 0) {
        if (words < 2)
            return fuse_fail(err, FUSE_EUSAGE, "einsum takes an equation and extents: einsum 'ab,bc->ac' 64 64 64");
        return make_einsum(out, bench, "einsum", word[1], words - 2, word + 2, weak_ranks, err);
    }
    if (strcmp(kind, "transpose") == 0)
        return make_transpose(out, bench, words - 1, word + 1, weak_ranks, err);
    if (strcmp(kind, "map") == 0)
        return make_map(out, bench, words - 1, word + 1, weak_ranks, err);
    if (strcmp(kind, "attention") == 0)
        return make_attention(out, bench, words - 1, word + 1, weak_ranks, err);
    if (strcmp(kind, "semiring") == 0)
        return fuse_bench_make_semiring(out, bench, words - 1, word + 1, weak_ranks, err);
    fuse_fail(err, FUSE_EUSAGE, "there is no benchmark '%s'", kind);
    fuse_hint(err,
              "benchmarks are gemm, einsum, transpose, map, attention, semiring, coll, io, scale, program and compare");
    return FUSE_EUSAGE;
}
