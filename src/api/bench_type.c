/* Products of narrow types for bench: what operands, files and programs look like. */
#include "api/bench.h"

#include <math.h>

bool fuse_bench_type(enum fuse_dtype *out, const char *name) {
    return fuse_dtype_parse(out, name) &&
           (*out == FUSE_F16 || *out == FUSE_BF16 || *out == FUSE_I8 || *out == FUSE_U8 || *out == FUSE_BOOL);
}

/* NumPy's files have no BF16. */
static void set_file(struct fuse_bench_tensor *t, struct fuse_bench *bench) {
    if (t->dtype == FUSE_BF16)
        t->path = fuse_bench_path(bench, fuse_arena_printf(bench->arena, "%s.safetensors", t->name));
}

static void add_reference(struct fuse_text *text, const struct fuse_bench_tensor *t) {
    const bool truth = t->dtype == FUSE_BOOL;
    fuse_text_add(text, "%s%c", t->name, truth ? '(' : '[');
    for (int a = 0; a < t->rank; a++)
        fuse_text_add(text, "%s%c", a ? "," : "", t->axes[a]);
    fuse_text_add(text, "%c", truth ? ')' : ']');
}

void fuse_bench_set_type(struct fuse_bench_case *c, struct fuse_bench *bench, enum fuse_dtype dtype) {
    struct fuse_text text = {.arena = bench->arena};
    const enum fuse_dtype sum = dtype == FUSE_I8 || dtype == FUSE_U8 ? FUSE_I64 : dtype;
    /* Of truths so many that half of the sums have one. */
    const double terms = (double)c->operand[0].extent[1];
    c->dtype = dtype;
    c->is_double = false;
    c->out.dtype = sum;
    set_file(&c->out, bench);
    add_reference(&text, &c->out);
    fuse_text_add(&text, " =");
    for (int i = 0; i < c->operands; i++) {
        struct fuse_bench_tensor *t = &c->operand[i];
        t->dtype = dtype;
        t->lo = dtype == FUSE_I8 ? -128 : dtype == FUSE_U8 || dtype == FUSE_BOOL ? 0 : -1;
        t->hi = dtype == FUSE_I8 ? 128 : dtype == FUSE_U8 ? 256 : dtype == FUSE_BOOL ? sqrt(terms / 0.69) : 1;
        set_file(t, bench);
        fuse_text_add(&text, " ");
        add_reference(&text, t);
    }
    fuse_text_add(&text, "\n");
    c->program = text.at;
    fuse_bench_count_bytes(c);
}

const char *fuse_bench_file(const struct fuse_bench *bench, const struct fuse_bench_tensor *t) {
    return t->dtype == FUSE_BF16 ? fuse_arena_printf(bench->arena, "%s:x", t->path) : t->path;
}

const char *fuse_bench_generator(const struct fuse_bench *bench, const struct fuse_bench_tensor *t, int i) {
    const char *numbers = fuse_arena_printf(bench->arena, "uniform(seed=%d, lo=%.17g, hi=%.17g)", i + 1, t->lo, t->hi);
    if (t->dtype == FUSE_F32 || t->dtype == FUSE_F64)
        return numbers;
    if (t->dtype == FUSE_BOOL)
        return fuse_arena_printf(bench->arena, "%s < 1", numbers);
    return fuse_arena_printf(bench->arena, "cast(%s, \"%s\")", numbers, fuse_dtype_name(t->dtype));
}
