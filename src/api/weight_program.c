/* What a weight is made of, as program text. */
#include "api/weights.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

/* ---- shapes and types ---- */

static const char *shape_text(struct fuse_arena *arena, int rank, const int64_t *extent) {
    struct fuse_text text = {.arena = arena};
    fuse_text_add(&text, "[");
    for (int a = 0; a < rank; a++)
        fuse_text_add(&text, "%s%" PRId64, a ? "," : "", extent[a]);
    fuse_text_add(&text, "]");
    return text.at;
}

static bool is_file_of_rows(struct fuse_dist_program *program, const struct fuse_weight_part *part) {
    if (!part->probe || !part->probe->tally)
        return false;
    fuse_weight_complain(program, part->offset, "this file holds rows, and an array is needed here");
    return true;
}

static bool check_stored_type(struct fuse_dist_program *program, const struct fuse_used_weight *used) {
    static const enum fuse_dtype stored[] = {
        [FUSE_WEIGHT_INT8] = FUSE_I8, [FUSE_WEIGHT_UINT8] = FUSE_U8, [FUSE_WEIGHT_INT4] = FUSE_U8};
    static const char *const names[] = {
        [FUSE_WEIGHT_INT8] = "int8", [FUSE_WEIGHT_UINT8] = "uint8", [FUSE_WEIGHT_INT4] = "int4"};
    const struct fuse_weight_quant *quant = &used->weight->quant;
    if (!quant->is_present || used->stored.probe->file_dtype == stored[quant->storage])
        return true;
    struct fuse_diagnostic *d =
        fuse_weight_complain(program, used->stored.offset, "the file holds %s, and %s is stored as %s",
                             fuse_dtype_name(used->stored.probe->file_dtype), names[quant->storage],
                             fuse_dtype_name(stored[quant->storage]));
    if (d && quant->storage == FUSE_WEIGHT_INT4)
        d->hint = "two values a byte along the last axis, the first in the low four bits";
    return false;
}

/* The extents of the tensor: those of what is stored, but for two values a byte. */
static bool find_extents(struct fuse_dist_program *program, struct fuse_used_weight *used) {
    const struct fuse_weight *w = used->weight;
    const struct fuse_probe *probe = used->stored.probe;
    const struct fuse_weight_numbers *number = w->data.number;
    bool packed = w->quant.is_present && w->quant.storage == FUSE_WEIGHT_INT4, fits = true;
    used->rank = number ? number->rank : probe->rank;
    memcpy(used->extent, number ? number->extent : probe->extent, sizeof used->extent);
    if (packed && used->rank == 0) {
        fuse_weight_complain(program, used->stored.offset,
                             "int4 is stored two values a byte along the last axis, and "
                             "this file has no axis");
        return false;
    }
    if (packed) {
        int64_t *last = &used->extent[used->rank - 1];
        *last = w->rank == used->rank && w->extent[used->rank - 1] == 2 * *last - 1 ? 2 * *last - 1 : 2 * *last;
    }
    if (w->rank < 0)
        return true;
    fits = w->rank == used->rank;
    for (int a = 0; a < used->rank && fits; a++)
        fits = w->extent[a] == used->extent[a];
    if (!fits)
        fuse_weight_complain(program, w->shape_offset, "'%s' is declared as %s, and %s %s", w->name,
                             shape_text(program->arena, w->rank, w->extent), number ? "its value is" : "its file holds",
                             shape_text(program->arena, used->rank, used->extent));
    return fits;
}

/* One list for the groups of all rows gets the weight's axes. */
static void reshape_groups(const struct fuse_used_weight *used, struct fuse_weight_numbers *number) {
    int64_t size = used->weight->quant.group_size, extent[FUSE_MAX_AXES], all = 1;
    if (!number || number->rank != 1 || size == 0 || used->rank < 2)
        return;
    memcpy(extent, used->extent, sizeof extent);
    extent[used->rank - 1] = (extent[used->rank - 1] + size - 1) / size;
    for (int a = 0; a < used->rank; a++)
        all = fuse_sat_mul(all, extent[a]);
    if (number->n != all || number->n == extent[used->rank - 1])
        return;
    number->rank = used->rank;
    memcpy(number->extent, extent, sizeof extent);
}

/* How the axes of a scale or zero point go with the weight's: none, one (`axis`), or all from the last one backwards, each
 * of them whole, once, or once a group. */
static bool match_axes(struct fuse_dist_program *program, const struct fuse_used_weight *used,
                       struct fuse_weight_part *part, const struct fuse_weight_data *data, const char *what) {
    const struct fuse_weight_quant *quant = &used->weight->quant;
    reshape_groups(used, data->number);
    const int64_t *extent = data->number ? data->number->extent : part->probe ? part->probe->extent : NULL;
    int rank = data->number ? data->number->rank : part->probe ? part->probe->rank : 0;
    bool fits = rank <= used->rank;
    part->rank = rank;
    for (int k = 0; k < rank && fits; k++) {
        int axis = used->rank - rank + k;
        if (rank == 1 && quant->group_size == 0 && extent[0] != 1)
            axis = quant->axis < 0 ? 0 : quant->axis;
        bool last = axis == used->rank - 1;
        int64_t groups =
            quant->group_size > 0 && last ? (used->extent[axis] + quant->group_size - 1) / quant->group_size : 0;
        part->axis[k] = axis;
        fits = axis < used->rank;
        if (!fits)
            break;
        if (groups > 0 && extent[k] == groups)
            part->spread[k] = FUSE_SPREAD_GROUP;
        else if (extent[k] == 1)
            part->spread[k] = FUSE_SPREAD_ALL;
        else if (extent[k] == used->extent[axis] && groups == 0)
            part->spread[k] = FUSE_SPREAD_EACH;
        else
            fits = false;
    }
    if (fits)
        return true;
    struct fuse_diagnostic *d = fuse_weight_complain(
        program, part->offset, "a %s of shape %s does not go with a weight of shape %s%s", what,
        shape_text(program->arena, rank, extent), shape_text(program->arena, used->rank, used->extent),
        quant->group_size > 0 ? fuse_arena_printf(program->arena, " in groups of %" PRId64, quant->group_size) : "");
    if (d)
        d->hint =
            "it is one number, one for each position of 'axis' (0 if nothing is said), or has the weight's axes, the "
            "last with one number a group";
    return false;
}

/* A is [rank,in], B is [out,rank]. */
static bool check_adapter(struct fuse_dist_program *program, const struct fuse_used_weight *used) {
    const struct fuse_weight_part *a = &used->a, *b = &used->b;
    if (!used->adapter)
        return true;
    if (is_file_of_rows(program, a) || is_file_of_rows(program, b))
        return false;
    if (used->rank != 2) {
        fuse_weight_complain(program, used->weight->lora.offset,
                             "an adapter is added to a matrix, and '%s' has rank %d", used->weight->name, used->rank);
        return false;
    }
    bool fits = a->probe->rank == 2 && b->probe->rank == 2 && a->probe->extent[1] == used->extent[1] &&
                b->probe->extent[0] == used->extent[0] && a->probe->extent[0] == b->probe->extent[1] &&
                a->probe->extent[0] > 0;
    if (fits)
        return true;
    struct fuse_diagnostic *d = fuse_weight_complain(
        program, used->adapter->offset, "'a' of shape %s and 'b' of shape %s do not make an adapter of a weight %s",
        shape_text(program->arena, a->probe->rank, a->probe->extent),
        shape_text(program->arena, b->probe->rank, b->probe->extent),
        shape_text(program->arena, used->rank, used->extent));
    if (d)
        d->hint = "for a weight [out,in] 'a' is [rank,in] and 'b' is [out,rank]";
    return false;
}

static bool is_whole_type(enum fuse_dtype dtype) {
    return fuse_dtype_class(dtype) != FUSE_CLASS_REAL;
}

/* Numbers in a manifest are reals unless the weight is declared as something else. */
static bool check_type(struct fuse_dist_program *program, struct fuse_used_weight *used) {
    const struct fuse_weight *w = used->weight;
    if (!w->has_dtype)
        return true;
    if (w->data.number) {
        if (is_whole_type(w->dtype) && (!w->data.number->integers || w->scale != 1)) {
            fuse_weight_complain(program, w->dtype_offset,
                                 "'%s' is declared as %s and its value is not of whole numbers", w->name,
                                 fuse_dtype_name(w->dtype));
            return false;
        }
        used->casts = true;
        return true;
    }
    bool computed = w->quant.is_present || w->scale != 1;
    enum fuse_dtype resident = fuse_dtype_resident(used->stored.probe->file_dtype);
    used->casts = computed || w->dtype != resident;
    return true;
}

/* Files of rows, and of one array, are sources as they are: what is wrong with them the program's checks say. */
static bool is_plain(const struct fuse_used_weight *used) {
    const struct fuse_weight *w = used->weight;
    return !w->data.number && w->shards == 0 && !w->has_dtype && w->rank < 0 && w->scale == 1 && !w->quant.is_present &&
           !used->adapter;
}

bool fuse_weight_check(struct fuse_dist_program *program, struct fuse_used_weight *used) {
    const struct fuse_weight *w = used->weight;
    if (is_plain(used) && used->stored.probe->tally) {
        used->rank = used->axes;
        return true;
    }
    if (is_file_of_rows(program, &used->stored) || is_file_of_rows(program, &used->scale) ||
        is_file_of_rows(program, &used->zero_point))
        return false;
    if (w->quant.is_present && w->data.number) {
        fuse_weight_complain(program, w->quant.offset, "'%s' has its value in the manifest: there is nothing to unpack",
                             w->name);
        return false;
    }
    if (!check_stored_type(program, used) || !find_extents(program, used) || !check_type(program, used))
        return false;
    if (w->quant.is_present && !match_axes(program, used, &used->scale, &w->quant.scale, "scale"))
        return false;
    if (w->quant.is_affine && !match_axes(program, used, &used->zero_point, &w->quant.zero_point, "zero point"))
        return false;
    return check_adapter(program, used);
}

/* ---- text ---- */

struct writer {
    struct fuse_text text;
    const struct fuse_used_weight *used;
    const char *name; /* of the weight */
};

static void add_string(struct fuse_text *text, const char *at) {
    fuse_text_add(text, "\"");
    for (; *at; at++)
        fuse_text_add(text, *at == '"' || *at == '\\' ? "\\%c" : "%c", *at);
    fuse_text_add(text, "\"");
}

static void add_number(struct fuse_text *text, double value, bool whole) {
    if (whole)
        fuse_text_add(text, "%.0f", value);
    else if (value == floor(value) && fabs(value) < 1e15)
        fuse_text_add(text, "%.1f", value);
    else
        fuse_text_add(text, "%.17g", value);
}

static int64_t add_list(struct fuse_text *text, const struct fuse_weight_numbers *number, int axis, int64_t at,
                        bool whole) {
    if (axis == number->rank) {
        add_number(text, number->at[at], whole);
        return at + 1;
    }
    fuse_text_add(text, "[");
    for (int64_t i = 0; i < number->extent[axis]; i++) {
        fuse_text_add(text, i ? ", " : "");
        at = add_list(text, number, axis + 1, at, whole);
    }
    fuse_text_add(text, "]");
    return at;
}

/* "[a0,a1]", nothing for rank 0. */
static const char *axes_text(struct writer *w, int rank) {
    struct fuse_text text = {.arena = w->text.arena};
    for (int a = 0; a < rank; a++)
        fuse_text_add(&text, "%sa%d%s", a ? "," : "[", a, a == rank - 1 ? "]" : "");
    return text.at ? text.at : "";
}

/* name[a0,..] = "file", or the numbers. */
static void define(struct writer *w, const char *name, const struct fuse_weight_part *part,
                   const struct fuse_weight_numbers *number, bool whole, bool boolean) {
    int rank = number ? number->rank : part->probe->tally ? w->used->axes : part->probe->rank;
    const char *axes = axes_text(w, rank);
    if (boolean && rank > 0)
        axes = fuse_arena_printf(w->text.arena, "(%.*s)", (int)strlen(axes) - 2, axes + 1);
    fuse_text_add(&w->text, "%s%s = ", name, axes);
    if (number)
        add_list(&w->text, number, 0, 0, whole);
    else
        add_string(&w->text, part->text);
    fuse_text_add(&w->text, "\n");
}

/* The name of a tensor beside the weight, which no program has: "W::scale". */
static const char *beside(struct writer *w, const char *what) {
    return fuse_arena_printf(w->text.arena, "%s::%s", w->name, what);
}

/* What the scale or zero point is at the weight's a0, a1, ..: a number or a reference, f32 if it is of integers. */
static const char *spread(struct writer *w, const struct fuse_weight_part *part, const struct fuse_weight_data *data,
                          const char *what) {
    struct fuse_arena *arena = w->text.arena;
    struct fuse_text at = {.arena = arena}, axes = {.arena = arena}, ref = {.arena = arena};
    const struct fuse_used_weight *used = w->used;
    const char *name = beside(w, what);
    int groups = -1;
    if (data->number && data->number->n == 1) {
        add_number(&ref, data->number->at[0], false);
        return data->number->at[0] < 0 ? fuse_arena_printf(arena, "(%s)", ref.at) : ref.at;
    }
    define(w, name, part, data->number, false, false);
    for (int k = 0; k < part->rank; k++) {
        const char *comma = k ? "," : "";
        if (part->spread[k] == FUSE_SPREAD_ALL) {
            fuse_text_add(&at, "%s0", comma);
            continue;
        }
        if (part->spread[k] == FUSE_SPREAD_GROUP)
            groups = part->axis[k];
        else
            fuse_text_add(&axes, "a%d,", part->axis[k]);
        fuse_text_add(&at, part->spread[k] == FUSE_SPREAD_GROUP ? "%sg" : "%sa%d", comma, part->axis[k]);
    }
    const char *from = at.at ? fuse_arena_printf(arena, "%s[%s]", name, at.at) : name;
    const char *rest = axes.at ? axes.at : "";
    if (groups >= 0) { /* W::scale.groups[a0,g,m] repeats each group's, and is read as one axis */
        int64_t extent = used->extent[groups], size = used->weight->quant.group_size;
        fuse_text_add(&w->text, "%s::groups[%sg,m] = %s\n", name, rest, from);
        fuse_text_add(&w->text, "%s::each[%sa%d] = @concat(%s::groups[%sg,m])\n", name, rest, groups, name, rest);
        fuse_text_add(&ref, "%s::each[%sa%d", name, rest, groups);
        if (extent % size != 0) /* the last group is shorter */
            fuse_text_add(&ref, "=0:%" PRId64, extent);
        fuse_text_add(&ref, "]");
    } else {
        fuse_text_add(&ref, "%s", from);
    }
    if (part->probe && is_whole_type(part->probe->file_dtype))
        return fuse_arena_printf(arena, "@cast(%s, \"f32\")", ref.at);
    return ref.at;
}

/* Two values of four bits a byte, the first one in the low bits: W::q. */
static const char *unpack(struct writer *w) {
    struct fuse_text front = {.arena = w->text.arena};
    int last = w->used->rank - 1;
    const char *name = w->name;
    for (int a = 0; a < last; a++)
        fuse_text_add(&front, "a%d,", a);
    const char *rest = front.at ? front.at : "";
    define(w, beside(w, "packed"), &w->used->stored, NULL, false, false);
    fuse_text_add(&w->text, "axis h = 2\n");
    fuse_text_add(&w->text, "%s::byte[%sj] = @cast(%s::packed[%sj], \"f32\")\n", name, rest, name, rest);
    fuse_text_add(&w->text, "%s::high[%sj] = @floor(%s::byte[%sj] * 0.0625)\n", name, rest, name, rest);
    fuse_text_add(&w->text,
                  "%s::bits[%sj,h] = %s::byte[%sj] - 16.0 * %s::high[%sj] + @cast(@odd(h), \"f32\") * "
                  "(17.0 * %s::high[%sj] - %s::byte[%sj])\n",
                  name, rest, name, rest, name, rest, name, rest, name, rest);
    fuse_text_add(&w->text, "%s::pairs[%sj,h] = @cast(%s::bits[%sj,h] - 16.0 * (%s::bits[%sj,h] > 7.5), \"i8\")\n",
                  name, rest, name, rest, name, rest);
    fuse_text_add(&w->text, "%s::q[%sa%d] = @concat(%s::pairs[%sj,h])\n", name, rest, last, name, rest);
    bool odd = w->used->extent[last] % 2 != 0;
    if (odd)
        return fuse_arena_printf(w->text.arena, "%s::q[%sa%d=0:%" PRId64 "]", name, rest, last, w->used->extent[last]);
    return fuse_arena_printf(w->text.arena, "%s::q[%sa%d]", name, rest, last);
}

static const char *dequantise(struct writer *w) {
    const struct fuse_used_weight *used = w->used;
    const struct fuse_weight_quant *quant = &used->weight->quant;
    const char *q;
    if (quant->group_size > 0)
        fuse_text_add(&w->text, "axis m = %" PRId64 "\n", quant->group_size);
    if (quant->storage == FUSE_WEIGHT_INT4) {
        q = unpack(w);
    } else {
        define(w, beside(w, "q"), &used->stored, NULL, false, false);
        q = fuse_arena_printf(w->text.arena, "%s::q%s", w->name, axes_text(w, used->rank));
    }
    q = fuse_arena_printf(w->text.arena, "@cast(%s, \"f32\")", q);
    const char *scale = spread(w, &used->scale, &quant->scale, "scale");
    if (quant->is_affine)
        q = fuse_arena_printf(w->text.arena, "(%s - %s)", q, spread(w, &used->zero_point, &quant->zero_point, "zero"));
    return fuse_arena_printf(w->text.arena, "%s * %s", scale, q);
}

/* The weight without its adapter, as an expression over a0, a1, ..; NULL: `target` is defined already. */
static const char *stored_value(struct writer *w, const char *target) {
    const struct fuse_used_weight *used = w->used;
    const struct fuse_weight *weight = used->weight;
    bool whole = weight->has_dtype && is_whole_type(weight->dtype);
    if (weight->quant.is_present)
        return dequantise(w);
    if (weight->scale == 1 && !used->casts) {
        define(w, target, &used->stored, weight->data.number, whole, used->boolean && target == w->name);
        return NULL;
    }
    define(w, beside(w, "stored"), &used->stored, weight->data.number, whole, false);
    return fuse_arena_printf(w->text.arena, "%s::stored%s", w->name, axes_text(w, used->rank));
}

static void add_adapter(struct writer *w, struct fuse_dist_program *program) {
    const struct fuse_used_weight *used = w->used;
    const struct fuse_weight_adapter *adapter = used->adapter;
    double rank = (double)used->a.probe->extent[0], factor = (adapter->alpha != 0 ? adapter->alpha : rank) / rank;
    fuse_text_add(&w->text, "%s::a[k,a1] = ", w->name);
    add_string(&w->text, used->a.text);
    fuse_text_add(&w->text, "\n%s::b[a0,k] = ", w->name);
    add_string(&w->text, used->b.text);
    fuse_text_add(&w->text, "\n");
    if (used->weight->lora.merge) {
        fuse_text_add(&w->text, "%s[a0,a1] = %s::base[a0,a1] + ", w->name, w->name);
        add_number(&w->text, factor, false);
        fuse_text_add(&w->text, " * %s::b[a0,k] * %s::a[k,a1]\n", w->name, w->name);
        return;
    }
    struct fuse_adapter entry = {.weight = w->name, .a = beside(w, "a"), .b = beside(w, "b"), .factor = factor};
    fuse_vec_push(program->arena, &program->weights->adapters, entry);
}

const char *fuse_weight_program(struct fuse_dist_program *program, const struct fuse_used_weight *used) {
    const struct fuse_weight *weight = used->weight;
    struct writer w = {.text = {.arena = program->arena}, .used = used, .name = weight->name};
    const char *target = used->adapter && weight->lora.merge ? beside(&w, "base") : w.name;
    const char *value = stored_value(&w, target);
    if (value) {
        fuse_text_add(&w.text, "%s%s = ", target, axes_text(&w, used->rank));
        if (used->casts)
            fuse_text_add(&w.text, "@cast(");
        if (weight->scale != 1) {
            add_number(&w.text, weight->scale, false);
            fuse_text_add(&w.text, " * ");
        }
        fuse_text_add(&w.text, "%s", value);
        if (used->casts)
            fuse_text_add(&w.text, ", \"%s\")", fuse_dtype_name(weight->dtype));
        fuse_text_add(&w.text, "\n");
    }
    if (used->adapter)
        add_adapter(&w, program);
    return w.text.at;
}
