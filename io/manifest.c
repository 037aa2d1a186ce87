#include "io/manifest.h"

#include "core/text.h"

#include <limits.h>
#include <string.h>

/* A list of weights with all their adapters may be long; scales and values that are longer belong into files. */
static const struct fuse_document_limits limits = {.bytes = (size_t)64 << 20, .values = (size_t)1 << 21};

struct reader {
    struct fuse_arena *arena;
    const struct fuse_document *doc;
    struct fuse_error *err;
};

static bool is_number(const struct fuse_document_value *value) {
    return value->kind == FUSE_DOCUMENT_INTEGER || value->kind == FUSE_DOCUMENT_REAL;
}

/* The number of a word in a list that NULL ends; INPUT when it is not there. */
static enum fuse_status read_word(struct reader *r, int *out, const struct fuse_document_value *value,
                                  const char *const *words) {
    struct fuse_text all = {.arena = r->arena};
    FUSE_TRY(
        fuse_document_expect(r->doc, value, FUSE_DOCUMENT_STRING, fuse_document_shown(r->doc, value->key), r->err));
    for (int k = 0; words[k]; k++) {
        if (strcmp(words[k], value->string) == 0) {
            *out = k;
            return FUSE_OK;
        }
        fuse_text_add(&all, "%s'%s'", k == 0 ? "" : words[k + 1] ? ", " : " or ", words[k]);
    }
    return fuse_document_fail(r->doc, value, r->err, "'%s' is %s, not %s", value->key, all.at,
                              fuse_document_shown(r->doc, value->string));
}

/* The text of a value, which the document has found to be well formed. */
static const char *value_text(struct reader *r, const struct fuse_document_value *value) {
    const char *begin = r->doc->text + value->offset, *at = begin;
    int depth = 0;
    bool quoted = false;
    do {
        if (quoted && *at == '\\')
            at++;
        else if (*at == '"')
            quoted = !quoted;
        else if (!quoted)
            depth += (*at == '{' || *at == '[') - (*at == '}' || *at == ']');
        at++;
    } while (depth > 0 || quoted);
    return fuse_arena_strndup(r->arena, begin, (size_t)(at - begin));
}

/* ---- numbers and files ---- */

struct numbers {
    struct fuse_weight_numbers *out;
    double *at;
    int64_t room;
};

static int64_t count_numbers(const struct fuse_document_value *value) {
    int64_t n = 0;
    if (value->kind != FUSE_DOCUMENT_LIST)
        return 1;
    for (const struct fuse_document_value *item = value->first; item; item = item->next)
        n += count_numbers(item);
    return n;
}

static enum fuse_status fill_numbers(struct reader *r, struct numbers *n, const struct fuse_document_value *value,
                                     int depth) {
    struct fuse_weight_numbers *out = n->out;
    if (depth == out->rank) {
        if (!is_number(value))
            return fuse_document_fail(r->doc, value, r->err, "this must be a number, not %s",
                                      fuse_document_kind_text(value->kind));
        out->integers &= value->kind == FUSE_DOCUMENT_INTEGER;
        n->at[out->n++] = fuse_document_real(value);
        return FUSE_OK;
    }
    if (value->kind != FUSE_DOCUMENT_LIST || value->members != out->extent[depth])
        return fuse_document_fail(r->doc, value, r->err,
                                  "lists of different lengths: this must be a list of %lld like the first one",
                                  (long long)out->extent[depth]);
    for (const struct fuse_document_value *item = value->first; item; item = item->next)
        FUSE_TRY(fill_numbers(r, n, item, depth + 1));
    return FUSE_OK;
}

static enum fuse_status read_numbers(struct reader *r, struct fuse_weight_data *out,
                                     const struct fuse_document_value *value) {
    struct fuse_weight_numbers *numbers = FUSE_NEW(r->arena, struct fuse_weight_numbers);
    struct numbers n = {.out = numbers};
    numbers->integers = true;
    for (const struct fuse_document_value *at = value; at->kind == FUSE_DOCUMENT_LIST; at = at->first) {
        if (numbers->rank == FUSE_MAX_AXES)
            return fuse_document_fail(r->doc, value, r->err, "lists in more than %d levels", FUSE_MAX_AXES);
        if (at->members == 0)
            return fuse_document_fail(r->doc, at, r->err, "an empty list");
        numbers->extent[numbers->rank++] = at->members;
    }
    n.at = FUSE_NEW_ARRAY(r->arena, double, count_numbers(value));
    FUSE_TRY(fill_numbers(r, &n, value, 0));
    numbers->at = n.at;
    out->number = numbers;
    out->offset = value->offset;
    return FUSE_OK;
}

static enum fuse_status read_path(struct reader *r, struct fuse_weight_data *out,
                                  const struct fuse_document_value *value) {
    if (value->kind != FUSE_DOCUMENT_STRING)
        return fuse_document_fail(r->doc, value, r->err, "the path of a file is a string, not %s",
                                  fuse_document_kind_text(value->kind));
    if (!value->string[0])
        return fuse_document_fail(r->doc, value, r->err, "an empty path");
    out->path = value->string;
    out->offset = value->offset;
    return FUSE_OK;
}

/* A path, a number or lists of numbers; absent, *out stays as it is. */
static enum fuse_status read_data(struct reader *r, struct fuse_weight_data *out,
                                  const struct fuse_document_value *object, const char *key) {
    const struct fuse_document_value *value = fuse_document_find(object, key);
    if (!value)
        return FUSE_OK;
    if (value->kind == FUSE_DOCUMENT_STRING)
        return read_path(r, out, value);
    if (value->kind != FUSE_DOCUMENT_LIST && !is_number(value))
        return fuse_document_fail(r->doc, value, r->err,
                                  "'%s' is a number, lists of numbers or the path of a file, not %s", key,
                                  fuse_document_kind_text(value->kind));
    return read_numbers(r, out, value);
}

/* ---- the parts of a weight ---- */

static enum fuse_status read_shape(struct reader *r, struct fuse_weight *w, const struct fuse_document_value *object) {
    const struct fuse_document_value *shape;
    w->rank = -1;
    FUSE_TRY(fuse_document_get(&shape, r->doc, object, "shape", FUSE_DOCUMENT_LIST, false, r->err));
    if (!shape)
        return FUSE_OK;
    if (shape->members > FUSE_MAX_AXES)
        return fuse_document_fail(r->doc, shape, r->err, "a tensor has at most %d axes", FUSE_MAX_AXES);
    w->rank = 0;
    w->shape_offset = shape->offset;
    for (const struct fuse_document_value *item = shape->first; item; item = item->next) {
        if (item->kind != FUSE_DOCUMENT_INTEGER || item->integer < 0)
            return fuse_document_fail(r->doc, item, r->err, "an extent is an integer from 0 on");
        w->extent[w->rank++] = item->integer;
    }
    return FUSE_OK;
}

static enum fuse_status read_dtype(struct reader *r, struct fuse_weight *w, const struct fuse_document_value *object) {
    const struct fuse_document_value *value;
    FUSE_TRY(fuse_document_get(&value, r->doc, object, "dtype", FUSE_DOCUMENT_STRING, false, r->err));
    if (!value)
        return FUSE_OK;
    w->has_dtype = true;
    w->dtype_offset = value->offset;
    if (!fuse_dtype_parse(&w->dtype, value->string) || fuse_dtype_resident(w->dtype) != w->dtype) {
        fuse_document_fail(r->doc, value, r->err, "'dtype' is no element type of tensors: %s",
                           fuse_document_shown(r->doc, value->string));
        fuse_hint(r->err, "f32, f64, f16, bf16, i8, i16, i32, i64, u8, bool");
        return FUSE_EINPUT;
    }
    return FUSE_OK;
}

static enum fuse_status read_shards(struct reader *r, struct fuse_weight *w, const struct fuse_document_value *object) {
    static const char *const keys[] = {"path", "axis", NULL};
    const struct fuse_document_value *list, *axis;
    int64_t shard_axis = -1;
    FUSE_TRY(fuse_document_get(&list, r->doc, object, "shards", FUSE_DOCUMENT_LIST, false, r->err));
    FUSE_TRY(fuse_document_get(&axis, r->doc, object, "shard_axis", FUSE_DOCUMENT_INTEGER, false, r->err));
    FUSE_TRY(fuse_document_get_integer(&shard_axis, r->doc, object, "shard_axis", 0, FUSE_MAX_AXES - 1, false, r->err));
    if (!list)
        return axis ? fuse_document_fail_key(r->doc, axis, r->err, "'shard_axis' without 'shards'") : FUSE_OK;
    if (list->members == 0)
        return fuse_document_fail(r->doc, list, r->err, "'shards' is an empty list");
    w->shard = FUSE_NEW_ARRAY(r->arena, struct fuse_weight_data, list->members);
    for (const struct fuse_document_value *item = list->first; item; item = item->next) {
        int64_t own = shard_axis;
        FUSE_TRY(fuse_document_expect(r->doc, item, FUSE_DOCUMENT_OBJECT, "a shard", r->err));
        FUSE_TRY(fuse_document_known(r->doc, item, keys, "a shard", r->err));
        const struct fuse_document_value *path = fuse_document_find(item, "path");
        if (!path)
            return fuse_document_fail(r->doc, item, r->err, "a shard without 'path'");
        FUSE_TRY(read_path(r, &w->shard[w->shards++], path));
        FUSE_TRY(fuse_document_get_integer(&own, r->doc, item, "axis", 0, FUSE_MAX_AXES - 1, false, r->err));
        if (shard_axis >= 0 && own != shard_axis)
            return fuse_document_fail(r->doc, fuse_document_find(item, "axis"), r->err,
                                      "the shards of a weight follow each other along one axis, here %lld",
                                      (long long)shard_axis);
        shard_axis = own;
    }
    w->shard_axis = shard_axis < 0 ? 0 : (int)shard_axis;
    return FUSE_OK;
}

static enum fuse_status read_quant(struct reader *r, struct fuse_weight *w, const struct fuse_document_value *object) {
    static const char *const keys[] = {"mode", "dtype", "scale", "zero_point", "axis", "group_size", NULL};
    static const char *const modes[] = {"symmetric", "affine", "none", NULL};
    static const char *const storages[] = {"int8", "uint8", "int4", NULL};
    enum { SYMMETRIC, AFFINE, NONE };
    struct fuse_weight_quant *q = &w->quant;
    const struct fuse_document_value *value, *word;
    int64_t axis = -1;
    int number = -1;
    FUSE_TRY(fuse_document_get(&value, r->doc, object, "quant", FUSE_DOCUMENT_OBJECT, false, r->err));
    if (!value)
        return FUSE_OK;
    FUSE_TRY(fuse_document_known(r->doc, value, keys, "'quant'", r->err));
    word = fuse_document_find(value, "dtype");
    if (word) {
        FUSE_TRY(read_word(r, &number, word, storages));
        q->storage = (enum fuse_weight_storage)number;
    }
    FUSE_TRY(read_data(r, &q->scale, value, "scale"));
    FUSE_TRY(read_data(r, &q->zero_point, value, "zero_point"));
    FUSE_TRY(fuse_document_get_integer(&axis, r->doc, value, "axis", 0, FUSE_MAX_AXES - 1, false, r->err));
    FUSE_TRY(fuse_document_get_integer(&q->group_size, r->doc, value, "group_size", 1, INT_MAX, false, r->err));
    q->axis = (int)axis;
    q->is_affine = q->zero_point.path || q->zero_point.number;
    q->is_present = true;
    q->offset = value->key_offset;
    number = q->is_affine ? AFFINE : SYMMETRIC;
    const struct fuse_document_value *mode = fuse_document_find(value, "mode");
    if (mode)
        FUSE_TRY(read_word(r, &number, mode, modes));
    q->is_present = number != NONE;
    if (number == NONE)
        return FUSE_OK;
    if (number == SYMMETRIC && q->is_affine)
        return fuse_document_fail(r->doc, mode, r->err, "a symmetric quantisation has no 'zero_point'");
    if (number == AFFINE && !q->is_affine)
        return fuse_document_fail(r->doc, mode, r->err, "an affine quantisation needs a 'zero_point'");
    if (!word)
        return fuse_document_fail_key(r->doc, value, r->err, "'quant' without 'dtype': int8, uint8 or int4");
    if (!q->scale.path && !q->scale.number)
        return fuse_document_fail_key(r->doc, value, r->err, "'quant' without 'scale'");
    if (q->axis >= 0 && q->group_size > 0)
        return fuse_document_fail(r->doc, fuse_document_find(value, "axis"), r->err,
                                  "groups are along the last axis: 'axis' goes without 'group_size'");
    return FUSE_OK;
}

static enum fuse_status read_adapter(struct reader *r, struct fuse_weight_adapter *out, double alpha,
                                     const struct fuse_document_value *value) {
    static const char *const keys[] = {"a", "b", "alpha", NULL};
    const struct fuse_document_value *a = NULL, *b = NULL;
    FUSE_TRY(fuse_document_expect(r->doc, value, FUSE_DOCUMENT_OBJECT, "an adapter", r->err));
    FUSE_TRY(fuse_document_known(r->doc, value, keys, "an adapter", r->err));
    FUSE_TRY(fuse_document_get(&a, r->doc, value, "a", FUSE_DOCUMENT_STRING, true, r->err));
    FUSE_TRY(fuse_document_get(&b, r->doc, value, "b", FUSE_DOCUMENT_STRING, true, r->err));
    *out = (struct fuse_weight_adapter){.name = value->key, .offset = value->key_offset, .alpha = alpha};
    if (strcmp(value->key, "none") == 0)
        return fuse_document_fail_key(r->doc, value, r->err,
                                      "an adapter cannot be called 'none', which means no adapter");
    FUSE_TRY(read_path(r, &out->a, a));
    FUSE_TRY(read_path(r, &out->b, b));
    return fuse_document_get_real(&out->alpha, r->doc, value, "alpha", false, r->err);
}

static enum fuse_status read_lora(struct reader *r, struct fuse_weight *w, const struct fuse_document_value *object) {
    static const char *const keys[] = {"slot", "merge", "default", "alpha", "adapters", NULL};
    struct fuse_weight_lora *lora = &w->lora;
    const struct fuse_document_value *value, *adapters = NULL;
    double alpha = 0;
    FUSE_TRY(fuse_document_get(&value, r->doc, object, "lora", FUSE_DOCUMENT_OBJECT, false, r->err));
    if (!value)
        return FUSE_OK;
    lora->is_present = true;
    lora->offset = value->key_offset;
    lora->slot = w->name;
    FUSE_TRY(fuse_document_known(r->doc, value, keys, "'lora'", r->err));
    FUSE_TRY(fuse_document_get_string(&lora->slot, r->doc, value, "slot", false, r->err));
    FUSE_TRY(fuse_document_get_bool(&lora->merge, r->doc, value, "merge", false, r->err));
    FUSE_TRY(fuse_document_get_string(&lora->chosen, r->doc, value, "default", false, r->err));
    FUSE_TRY(fuse_document_get_real(&alpha, r->doc, value, "alpha", false, r->err));
    FUSE_TRY(fuse_document_get(&adapters, r->doc, value, "adapters", FUSE_DOCUMENT_OBJECT, true, r->err));
    lora->adapter = FUSE_NEW_ARRAY(r->arena, struct fuse_weight_adapter, adapters->members);
    bool has_chosen = !lora->chosen || strcmp(lora->chosen, "none") == 0;
    for (const struct fuse_document_value *item = adapters->first; item; item = item->next) {
        has_chosen |= lora->chosen && strcmp(item->key, lora->chosen) == 0;
        FUSE_TRY(read_adapter(r, &lora->adapter[lora->adapters++], alpha, item));
    }
    if (!has_chosen)
        return fuse_document_fail(r->doc, fuse_document_find(value, "default"), r->err,
                                  "'adapters' has none that is called %s", fuse_document_shown(r->doc, lora->chosen));
    if (lora->chosen && strcmp(lora->chosen, "none") == 0)
        lora->chosen = NULL;
    return FUSE_OK;
}

/* One of value, path and shards; what the others mean goes with it. */
static enum fuse_status read_place(struct reader *r, struct fuse_weight *w, const struct fuse_document_value *object) {
    const struct fuse_document_value *path = fuse_document_find(object, "path");
    const struct fuse_document_value *value = fuse_document_find(object, "value");
    const struct fuse_document_value *shards = fuse_document_find(object, "shards");
    int n = (path != NULL) + (value != NULL) + (shards != NULL);
    if (n != 1)
        return fuse_document_fail(r->doc, object, r->err, "a weight has one of 'value', 'path' and 'shards', not %s",
                                  n == 0 ? "none" : "several");
    FUSE_TRY(read_shards(r, w, object));
    if (path)
        return read_path(r, &w->data, path);
    if (!value)
        return FUSE_OK;
    if (value->kind != FUSE_DOCUMENT_LIST && !is_number(value))
        return fuse_document_fail(r->doc, value, r->err, "'value' is a number or lists of numbers, not %s",
                                  fuse_document_kind_text(value->kind));
    return read_numbers(r, &w->data, value);
}

static enum fuse_status read_weight(struct reader *r, struct fuse_weight *w, const struct fuse_document_value *object) {
    static const char *const keys[] = {"name",  "dtype", "shape", "value",    "path",      "shards",   "shard_axis",
                                       "scale", "quant", "lora",  "prefetch", "placement", "metadata", NULL};
    static const char *const placements[] = {"free", "row", "column", "replicated", NULL};
    const struct fuse_document_value *name = NULL, *placement, *metadata;
    int number = 0;
    FUSE_TRY(fuse_document_expect(r->doc, object, FUSE_DOCUMENT_OBJECT, "a weight", r->err));
    FUSE_TRY(fuse_document_known(r->doc, object, keys, "a weight", r->err));
    FUSE_TRY(fuse_document_get(&name, r->doc, object, "name", FUSE_DOCUMENT_STRING, true, r->err));
    w->name = name->string;
    w->offset = object->offset;
    w->name_offset = name->offset;
    w->scale = 1;
    FUSE_TRY(read_dtype(r, w, object));
    FUSE_TRY(read_shape(r, w, object));
    FUSE_TRY(read_place(r, w, object));
    FUSE_TRY(fuse_document_get_real(&w->scale, r->doc, object, "scale", false, r->err));
    FUSE_TRY(read_quant(r, w, object));
    FUSE_TRY(read_lora(r, w, object));
    FUSE_TRY(fuse_document_get_bool(&w->prefetch, r->doc, object, "prefetch", false, r->err));
    placement = fuse_document_find(object, "placement");
    if (placement)
        FUSE_TRY(read_word(r, &number, placement, placements));
    w->placement = (enum fuse_weight_placement)number;
    FUSE_TRY(fuse_document_get(&metadata, r->doc, object, "metadata", FUSE_DOCUMENT_OBJECT, false, r->err));
    w->metadata = metadata ? value_text(r, metadata) : NULL;
    return FUSE_OK;
}

/* ---- the document ---- */

static enum fuse_status read_weights(struct reader *r, struct fuse_manifest *out,
                                     const struct fuse_document_value *list) {
    struct fuse_map seen = {.arena = r->arena};
    out->weight = FUSE_NEW_ARRAY(r->arena, struct fuse_weight, list->members);
    for (const struct fuse_document_value *item = list->first; item; item = item->next) {
        struct fuse_weight *w = &out->weight[out->weights];
        int64_t other;
        FUSE_TRY(read_weight(r, w, item));
        const struct fuse_document_value *name = fuse_document_find(item, "name");
        if (!w->name[0])
            return fuse_document_fail(r->doc, name, r->err, "an empty name");
        if (fuse_map_get(&seen, w->name, &other)) {
            int line, column;
            fuse_document_place(r->doc, out->weight[other].name_offset, &line, &column);
            return fuse_document_fail(r->doc, name, r->err, "a second weight called %s; the first is in line %d",
                                      fuse_document_shown(r->doc, w->name), line);
        }
        fuse_map_put(&seen, w->name, out->weights++);
    }
    return FUSE_OK;
}

static enum fuse_status parse(struct fuse_manifest *out, struct fuse_arena *arena, const char *text, size_t bytes,
                              const char *name, struct fuse_error *err) {
    static const char *const keys[] = {"version", "metadata", "weights", NULL};
    struct fuse_manifest manifest = {0};
    const struct fuse_document_value *weights = NULL, *metadata;
    int64_t version = 0;
    FUSE_TRY(fuse_document_parse(&manifest.document, arena, text, bytes, name, limits, err));
    struct reader r = {.arena = arena, .doc = &manifest.document, .err = err};
    const struct fuse_document_value *root = manifest.document.root;
    FUSE_TRY(fuse_document_expect(r.doc, root, FUSE_DOCUMENT_OBJECT, "a weight manifest", err));
    FUSE_TRY(fuse_document_known(r.doc, root, keys, "a weight manifest", err));
    FUSE_TRY(fuse_document_get_integer(&version, r.doc, root, "version", 1, 1, true, err));
    FUSE_TRY(fuse_document_get(&metadata, r.doc, root, "metadata", FUSE_DOCUMENT_OBJECT, false, err));
    FUSE_TRY(fuse_document_get(&weights, r.doc, root, "weights", FUSE_DOCUMENT_LIST, true, err));
    manifest.metadata = metadata ? value_text(&r, metadata) : NULL;
    FUSE_TRY(read_weights(&r, &manifest, weights));
    *out = manifest;
    return FUSE_OK;
}

enum fuse_status fuse_manifest_parse(struct fuse_manifest *out, struct fuse_arena *arena, const char *text,
                                     size_t bytes, const char *name, struct fuse_error *err) {
    enum fuse_status st = parse(out, arena, text, bytes, name, err);
    if (st == FUSE_EINPUT)
        fuse_hint(err, "docs/weights.md describes manifests key by key");
    return st;
}

uint32_t fuse_manifest_token_end(const struct fuse_manifest *manifest, uint32_t offset) {
    const struct fuse_document *doc = &manifest->document;
    size_t at = offset;
    if (at < doc->bytes && doc->text[at] == '"') {
        for (at++; at < doc->bytes && doc->text[at] != '"'; at++)
            at += doc->text[at] == '\\';
        return (uint32_t)(at < doc->bytes ? at + 1 : doc->bytes);
    }
    if (at < doc->bytes && (doc->text[at] == '{' || doc->text[at] == '['))
        return offset + 1;
    while (at < doc->bytes && !strchr(" \t\r\n,]}", doc->text[at]))
        at++;
    return (uint32_t)at;
}
