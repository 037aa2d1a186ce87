/* The IR as bytes. Every field of the structs of ir.h stands here; a test looks for them. */
#include "ir/ir_pack.h"

#include <limits.h>

enum { MOST = INT_MAX - 1 };

void fuse_span_pack(struct fuse_pack *pack, struct fuse_span *span) {
    FUSE_PACK(pack, span->file, -1, MOST);
    FUSE_PACK(pack, span->begin, 0, UINT32_MAX);
    FUSE_PACK(pack, span->end, 0, UINT32_MAX);
}

static void pack_extents(struct fuse_pack *pack, int64_t *extent, int n) {
    for (int a = 0; a < n; a++)
        fuse_pack_range(pack, &extent[a], 0, FUSE_MAX_EXTENT);
}

static void pack_value(struct fuse_pack *pack, struct fuse_value *value) {
    fuse_pack_string(pack, &value->name);
    fuse_span_pack(pack, &value->span);
    FUSE_PACK(pack, value->dtype, 0, FUSE_DTYPES - 1);
    FUSE_PACK(pack, value->storage, 0, FUSE_STORAGE_RELATION);
    FUSE_PACK(pack, value->rank, 0, FUSE_MAX_AXES);
    pack_extents(pack, value->extent, value->rank);
    FUSE_PACK(pack, value->op, 0, MOST);
    FUSE_PACK(pack, value->pin, 0, MOST);
}

static void pack_use(struct fuse_pack *pack, struct fuse_use *use) {
    FUSE_PACK(pack, use->value, 0, MOST);
    FUSE_PACK(pack, use->access.rank, 0, FUSE_MAX_AXES);
    for (int a = 0; a < use->access.rank; a++) {
        struct fuse_access_axis *axis = &use->access.at[a];
        FUSE_PACK(pack, axis->index, -1, FUSE_MAX_AXES - 1);
        fuse_pack_int64(pack, &axis->stride);
        fuse_pack_int64(pack, &axis->offset);
        fuse_pack_range(pack, &axis->divide, 0, INT64_MAX);
        fuse_pack_range(pack, &axis->modulo, 0, INT64_MAX);
    }
}

static void pack_node(struct fuse_pack *pack, struct fuse_scalar_node *node) {
    FUSE_PACK(pack, node->op, 0, FUSE_SCALAR_OPS - 1);
    FUSE_PACK(pack, node->dtype, 0, FUSE_DTYPES - 1);
    FUSE_PACK(pack, node->a, -1, MOST);
    FUSE_PACK(pack, node->b, -1, MOST);
    FUSE_PACK(pack, node->c, -1, MOST);
    FUSE_PACK(pack, node->arg, INT_MIN, INT_MAX);
    fuse_pack_int64(pack, &node->integer);
    fuse_pack_double(pack, &node->real);
}

void fuse_scalar_pack(struct fuse_pack *pack, const struct fuse_scalar **body) {
    bool is_there = *body != NULL;
    fuse_pack_bool(pack, &is_there);
    if (!is_there)
        return;
    struct fuse_scalar scalar = {0};
    if (!pack->is_reading)
        scalar = **body;
    fuse_pack_count(pack, &scalar.n, MOST, 8);
    FUSE_PACK_ARRAY(pack, scalar.node, struct fuse_scalar_node, scalar.n);
    for (int i = 0; i < scalar.n; i++)
        pack_node(pack, &scalar.node[i]);
    if (!pack->is_reading)
        return;
    struct fuse_scalar *read = FUSE_NEW(pack->arena, struct fuse_scalar);
    *read = scalar;
    *body = read;
}

static void pack_draw(struct fuse_pack *pack, const struct fuse_draw **draw) {
    bool is_there = *draw != NULL;
    fuse_pack_bool(pack, &is_there);
    if (!is_there)
        return;
    struct fuse_draw *one = FUSE_NEW(pack->arena, struct fuse_draw);
    if (!pack->is_reading)
        *one = **draw;
    fuse_pack_range(pack, &one->rows, 1, FUSE_MAX_EXTENT);
    fuse_pack_int64(pack, &one->seed);
    FUSE_PACK(pack, one->indices, 0, FUSE_MAX_AXES - 1);
    for (int i = 0; i < one->indices; i++) {
        FUSE_PACK(pack, one->number[i], INT_MIN, INT_MAX);
        fuse_pack_range(pack, &one->extent[i], 1, FUSE_MAX_EXTENT);
    }
    *draw = one;
}

static bool same_scan(const struct fuse_probe *a, const struct fuse_probe *b) {
    return a->tally == b->tally && a->index == b->index && a->shards == b->shards;
}

/* Facts of what a scan has counted, and shards, are not stored: `probed` has them on both sides, and drawn points are counted anew. */
static void pack_scanned(struct fuse_pack *pack, struct fuse_op *op, const struct fuse_probed *probed) {
    enum { NONE = -1, DRAWN = -2 };
    int number = NONE;
    if (!pack->is_reading && op->draw) {
        number = DRAWN;
    } else if (!pack->is_reading && (op->probe.tally || op->probe.index || op->probe.shards)) {
        for (number = 0; number < probed->n; number++)
            if (same_scan(probed->probe[number], &op->probe))
                break;
    }
    FUSE_PACK(pack, number, DRAWN, probed->n - 1);
    if (!pack->is_reading || pack->has_failed)
        return;
    if (number == DRAWN && op->draw)
        op->probe.tally = fuse_draw_tally(op->draw, pack->arena);
    else if (number >= 0) {
        op->probe.tally = probed->probe[number]->tally;
        op->probe.index = probed->probe[number]->index;
        op->probe.packing = probed->probe[number]->packing;
        op->probe.shards = probed->probe[number]->shards;
    }
}

void fuse_probe_pack(struct fuse_pack *pack, struct fuse_probe *probe) {
    FUSE_PACK(pack, probe->rank, 0, FUSE_MAX_AXES);
    pack_extents(pack, probe->extent, probe->rank);
    FUSE_PACK(pack, probe->file_dtype, 0, FUSE_DTYPES - 1);
    fuse_pack_bool(pack, &probe->big_endian);
    fuse_pack_bool(pack, &probe->reversed);
    fuse_pack_range(pack, &probe->data_offset, 0, INT64_MAX);
    fuse_pack_range(pack, &probe->file_bytes, 0, INT64_MAX);
    fuse_pack_uint64(pack, &probe->digest);
}

static void pack_literal(struct fuse_pack *pack, struct fuse_op *op, const struct fuse_value *out) {
    size_t bytes = op->data ? (size_t)fuse_value_bytes(out) : 0;
    fuse_pack_bytes(pack, &op->data, &bytes);
    if (pack->is_reading && op->draw)
        op->data = NULL;
    else if (pack->is_reading && (int64_t)bytes != fuse_value_bytes(out))
        pack->has_failed = true;
}

static void pack_feed(struct fuse_pack *pack, struct fuse_op *op) {
    int *feed = FUSE_NEW_ARRAY(pack->arena, int, op->inputs + 1);
    for (int k = 0; k < op->inputs; k++) {
        if (!pack->is_reading)
            feed[k] = op->feed[k];
        FUSE_PACK(pack, feed[k], 0, op->rules->relations - 1);
    }
    op->feed = feed;
}

static void pack_op(struct fuse_pack *pack, struct fuse_op *op, const struct fuse_ir *ir,
                    const struct fuse_probed *probed) {
    FUSE_PACK(pack, op->kind, 0, FUSE_OP_ATTENTION);
    fuse_span_pack(pack, &op->span);
    FUSE_PACK(pack, op->out, -1, ir->values.n - 1);
    fuse_pack_count(pack, &op->inputs, MOST, 2);
    FUSE_PACK_ARRAY(pack, op->input, struct fuse_use, op->inputs);
    for (int k = 0; k < op->inputs; k++)
        pack_use(pack, &op->input[k]);
    FUSE_PACK(pack, op->indices, 0, FUSE_MAX_AXES);
    pack_extents(pack, op->extent, op->indices);
    for (int i = 0; i < op->indices; i++)
        fuse_pack_string(pack, &op->index_name[i]);
    const struct fuse_value none = {0}, *out = op->out >= 0 && !pack->has_failed ? &ir->values.at[op->out] : &none;
    for (int a = 0; a < out->rank; a++) {
        FUSE_PACK(pack, op->out_index[a], -1, FUSE_MAX_AXES - 1);
        fuse_pack_range(pack, &op->begin[a], 0, INT64_MAX);
    }
    FUSE_PACK(pack, op->reduce, 0, FUSE_REDUCE_AND);
    fuse_scalar_pack(pack, &op->body);
    fuse_pack_bool(pack, &op->guarded);
    fuse_pack_string(pack, &op->owner);
    fuse_pack_string(pack, &op->overflow);
    fuse_pack_string(pack, &op->overflow_hint);
    fuse_pack_string(pack, &op->path);
    fuse_pack_string(pack, &op->part);
    fuse_pack_bool(pack, &op->mean);
    for (int a = 0; a < op->indices; a++)
        FUSE_PACK(pack, op->table[a], 0, INT_MAX);
    fuse_pack_bool(pack, &op->counts);
    FUSE_PACK(pack, op->asks, 0, MOST);
    fuse_pack_bool(pack, &op->ranking);
    FUSE_PACK(pack, op->ranked, 0, FUSE_DTYPES - 1);
    fuse_probe_pack(pack, &op->probe);
    pack_draw(pack, &op->draw);
    fuse_rules_pack(pack, &op->rules);
    if (op->rules)
        pack_feed(pack, op);
    FUSE_PACK(pack, op->derived, 0, MOST);
    FUSE_PACK(pack, op->until, 0, MOST);
    pack_scanned(pack, op, probed);
    if (op->kind == FUSE_OP_LITERAL)
        pack_literal(pack, op, out);
}

void fuse_ir_pack(struct fuse_pack *pack, struct fuse_ir *ir, const struct fuse_probed *probed) {
    int values = ir->values.n, ops = ir->ops.n;
    fuse_pack_count(pack, &values, MOST, 8);
    for (int v = 0; v < values; v++) {
        if (pack->is_reading)
            fuse_vec_push(pack->arena, &ir->values, ((struct fuse_value){0}));
        pack_value(pack, &ir->values.at[v]);
    }
    fuse_pack_count(pack, &ops, MOST, 16);
    for (int o = 0; o < ops; o++) {
        if (pack->is_reading)
            fuse_vec_push(pack->arena, &ir->ops, FUSE_NEW(pack->arena, struct fuse_op));
        pack_op(pack, ir->ops.at[o], ir, probed);
    }
}

void fuse_tally_pack(struct fuse_pack *pack, struct fuse_tally *tally) {
    FUSE_PACK(pack, tally->columns, 0, FUSE_MAX_AXES);
    fuse_pack_range(pack, &tally->rows, 0, INT64_MAX);
    FUSE_PACK(pack, tally->last, 0, FUSE_COLUMN_SYMBOLS);
    fuse_pack_range(pack, &tally->last_not_id, -1, INT64_MAX);
    fuse_pack_bool(pack, &tally->is_partial);
    for (int c = 0; c < tally->columns; c++) {
        FUSE_PACK(pack, tally->kind[c], 0, FUSE_COLUMN_SYMBOLS);
        fuse_pack_string(pack, &tally->refused[c]);
        fuse_pack_range(pack, &tally->largest[c], -1, INT64_MAX);
        fuse_pack_range(pack, &tally->largest_row[c], -1, INT64_MAX);
        FUSE_PACK(pack, tally->shift[c], 0, 63);
        for (int b = 0; tally->below[c] && b <= FUSE_TALLY_BINS; b++) {
            int64_t below = tally->below[c][b];
            fuse_pack_int64(pack, &below);
        }
    }
    int bins = (FUSE_TALLY_PAIR_BINS + 1) * (FUSE_TALLY_PAIR_BINS + 1);
    for (int k = 0; k < 2; k++)
        FUSE_PACK(pack, tally->pair_shift[k], 0, 63);
    for (int b = 0; tally->pair_below && b < bins; b++) {
        int64_t below = tally->pair_below[b];
        fuse_pack_int64(pack, &below);
    }
}
