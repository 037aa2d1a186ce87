#include "tests/unit/random_ir.h"

void random_seed(struct random_state *state, int64_t seed) {
    state->bits = (uint64_t)seed * 7919 + 17;
}

int64_t random_below(struct random_state *state, int64_t n) {
    state->bits = state->bits * 6364136223846793005ULL + 1442695040888963407ULL;
    return (int64_t)((state->bits >> 33) % (uint64_t)n);
}

static const char *const index_names[] = {"a", "b", "c", "d", "e", "f", "g", "h"};

/* The sum of the inputs; `facts`: the first one is BOOL. */
static struct fuse_scalar *sum_body(struct fuse_arena *arena, int inputs, bool facts) {
    struct fuse_scalar *body = FUSE_NEW(arena, struct fuse_scalar);
    body->node = FUSE_NEW_ARRAY(arena, struct fuse_scalar_node, 2 * inputs + 2);
    int last = -1;
    for (int k = 0; k < inputs; k++) {
        body->node[body->n] = (struct fuse_scalar_node){FUSE_SCALAR_LOAD, FUSE_F32, -1, -1, -1, k, 0, 0};
        int load = body->n++;
        if (k == 0 && facts) {
            body->node[load].dtype = FUSE_BOOL;
            body->node[body->n] = (struct fuse_scalar_node){FUSE_SCALAR_CAST, FUSE_F32, load, -1, -1, -1, 0, 0};
            load = body->n++;
        }
        if (last >= 0) {
            body->node[body->n] = (struct fuse_scalar_node){FUSE_SCALAR_ADD, FUSE_F32, last, load, -1, -1, 0, 0};
            last = body->n++;
        } else {
            last = load;
        }
    }
    if (last < 0)
        body->node[body->n++] = (struct fuse_scalar_node){FUSE_SCALAR_CONST, FUSE_F32, -1, -1, -1, -1, 0, 1};
    return body;
}

static int64_t random_extent(struct random_state *state) {
    static const int64_t sizes[] = {1, 2, 3, 5, 7, 8, 13, 16, 31, 64, 97};
    return sizes[random_below(state, sizeof sizes / sizeof *sizes)];
}

/* A source large enough to be distributed, once in a while a small one. */
static int add_source(struct fuse_ir *ir, struct random_state *state, bool reversed) {
    int64_t extent[3];
    int rank = (int)random_below(state, 4);
    for (int a = 0; a < rank; a++)
        extent[a] = random_extent(state);
    struct fuse_op op = {
        .kind = FUSE_OP_SOURCE, .span = FUSE_NO_SPAN, .path = fuse_arena_printf(ir->arena, "s%d.npy", ir->values.n)};
    op.probe.reversed = reversed && rank > 1;
    op.probe.rank = rank;
    op.probe.file_dtype = FUSE_F32;
    for (int a = 0; a < rank; a++)
        op.probe.extent[a] = extent[a];
    op.out = fuse_ir_add_value(ir, NULL, FUSE_NO_SPAN, FUSE_F32, rank, extent);
    fuse_ir_add_op(ir, &op);
    return op.out;
}

/* Values that have a common axis, which operations of a chain walk with their first index. */
struct rows {
    int64_t extent;
    int values, value[8], axis[8];
};

/* How one axis of a value is read: by an index of the operation, forwards or backwards, shifted or in steps, or at one
 * position. */
static struct fuse_access_axis random_axis(struct fuse_op *op, struct random_state *state, int64_t extent) {
    if (random_below(state, 8) == 0)
        return (struct fuse_access_axis){.index = -1, .stride = 0, .offset = random_below(state, extent)};
    /* every second or third position, either way */
    int64_t stride = 1, offset = 0;
    if (extent > 3 && random_below(state, 6) == 0) {
        stride = 2 + random_below(state, 2);
        offset = random_below(state, 3);
        extent = (extent - offset + stride - 1) / stride;
        if (random_below(state, 3) == 0) {
            offset += stride * (extent - 1);
            stride = -stride;
        }
    }
    int match = -1;
    for (int i = 0; i < op->indices; i++)
        if (op->extent[i] == extent && random_below(state, 3) > 0)
            match = i;
    if (match < 0 && op->indices < 6) {
        match = op->indices++;
        op->extent[match] = extent;
        op->index_name[match] = index_names[match];
    }
    if (match < 0)
        return (struct fuse_access_axis){.index = -1, .stride = 0, .offset = 0};
    if (stride != 1)
        return (struct fuse_access_axis){.index = match, .stride = stride, .offset = offset};
    if (random_below(state, 6) == 0)
        return (struct fuse_access_axis){.index = match, .stride = 1, .offset = random_below(state, 5) - 2};
    if (random_below(state, 8) == 0)
        return (struct fuse_access_axis){.index = match, .stride = -1, .offset = extent - 1};
    return (struct fuse_access_axis){.index = match, .stride = 1, .offset = 0};
}

/* Reads axes `first` and the next one as one, by an index as long as both. */
static bool read_pair(struct fuse_op *op, const struct fuse_value *value, struct fuse_access *access, int first) {
    int64_t width = value->extent[first + 1], all = value->extent[first] * width;
    int index = 0;
    while (index < op->indices && op->extent[index] != all)
        index++;
    if (index == 6)
        return false;
    if (index == op->indices) {
        op->extent[op->indices] = all;
        op->index_name[op->indices] = index_names[op->indices];
        op->indices++;
    }
    access->at[first] = (struct fuse_access_axis){.index = index, .stride = 1, .divide = width};
    access->at[first + 1] = (struct fuse_access_axis){.index = index, .stride = 1, .modulo = width};
    return true;
}

static const struct fuse_tally *random_tally(struct fuse_arena *arena, struct random_state *state, int rank,
                                             const int64_t *extent, bool numeric) {
    struct fuse_tally_part part;
    int64_t id[FUSE_MAX_AXES] = {0};
    enum fuse_column_kind kind[FUSE_MAX_AXES] = {FUSE_COLUMN_IDS};
    fuse_tally_open(&part, arena, rank + numeric);
    kind[rank] = numeric ? FUSE_COLUMN_REALS : FUSE_COLUMN_IDS;
    for (int64_t r = 0, n = random_below(state, 60); r < n; r++) {
        for (int a = 0; a < rank; a++)
            id[a] = random_below(state, extent[a]);
        fuse_tally_add(&part, id, r);
    }
    return fuse_tally_finish(&part, arena, kind, numeric ? 0 : -1);
}

/* Facts or a numeric relation of 1 to 3 indices, sometimes of two files. */
static int add_relation(struct fuse_ir *ir, struct random_state *state) {
    int64_t extent[3];
    int rank = 1 + (int)random_below(state, 3), files = 1 + (int)random_below(state, 2);
    bool numeric = random_below(state, 2);
    struct fuse_use before = {.access = {.rank = rank}};
    for (int a = 0; a < rank; a++) {
        extent[a] = random_extent(state);
        before.access.at[a].index = -1;
    }
    for (int f = 0; f < files; f++) {
        struct fuse_op op = {.kind = FUSE_OP_SOURCE,
                             .span = FUSE_NO_SPAN,
                             .path = fuse_arena_printf(ir->arena, "r%d.tsv", ir->values.n),
                             .reduce = numeric ? FUSE_REDUCE_SUM : FUSE_REDUCE_OR,
                             .inputs = f > 0,
                             .input = FUSE_NEW(ir->arena, struct fuse_use)};
        *op.input = before;
        op.probe.tally = random_tally(ir->arena, state, rank, extent, numeric);
        op.out = fuse_ir_add_value(ir, NULL, FUSE_NO_SPAN, numeric ? FUSE_F32 : FUSE_BOOL, rank, extent);
        ir->values.at[op.out].storage = FUSE_STORAGE_RELATION;
        fuse_ir_add_op(ir, &op);
        before.value = op.out;
    }
    return before.value;
}

static int random_dense(const struct fuse_ir *ir, struct random_state *state) {
    int v = (int)random_below(state, ir->values.n);
    while (fuse_is_relation(ir, v))
        v = (v + 1) % ir->values.n;
    return v;
}

/* An operation that reads some values through random index maps: with `rows`, some of those along their common axis,
 * which the result joins if it has it; with `relation` (else -1), a JOIN over it. */
static void add_operation(struct fuse_ir *ir, struct random_state *state, struct rows *rows, int relation) {
    struct fuse_op op = {.span = FUSE_NO_SPAN};
    bool einsum = random_below(state, 2), join = relation >= 0;
    op.kind = join ? FUSE_OP_JOIN : einsum ? FUSE_OP_EINSUM : FUSE_OP_MAP;
    op.inputs = join     ? 1 + (int)random_below(state, 3)
                : einsum ? 2
                         : (int)random_below(state, 3) + (ir->values.n == 0 || rows);
    op.input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, 3);
    if (rows) {
        op.indices = 1;
        op.extent[0] = rows->extent;
        op.index_name[0] = index_names[0];
    }
    for (int k = 0; k < op.inputs; k++) {
        bool along = rows && (k == 0 || random_below(state, 2));
        int r = along ? (int)random_below(state, rows->values) : 0;
        int v = along ? rows->value[r] : join && k == 0 ? relation : random_dense(ir, state);
        struct fuse_use *use = &op.input[k];
        use->value = v;
        use->access = fuse_access_identity(ir->values.at[v].rank);
        const struct fuse_value *value = &ir->values.at[v];
        for (int a = 0; a < value->rank; a++) {
            bool apart = along && (a == rows->axis[r] || a + 1 == rows->axis[r]);
            if (!apart && v != relation && a + 1 < value->rank && random_below(state, 4) == 0 &&
                read_pair(&op, value, &use->access, a))
                a++;
            else
                use->access.at[a] = along && a == rows->axis[r]
                                        ? (struct fuse_access_axis){.index = 0, .stride = 1, .offset = 0}
                                        : random_axis(&op, state, value->extent[a]);
        }
    }
    if (op.indices < 6 && random_below(state, 6) == 0) {
        op.extent[op.indices] = random_extent(state);
        op.index_name[op.indices] = index_names[op.indices];
        op.indices++;
    }
    int64_t extent[FUSE_MAX_AXES], elems = 1;
    int rank = 0;
    for (int i = 0; i < op.indices; i++)
        elems *= op.extent[i];
    for (int i = 0; i < op.indices; i++) {
        bool keep = rows && i == 0 ? random_below(state, 6) > 0 : random_below(state, 2) && rank < 3;
        if (keep) {
            extent[rank] = op.extent[i];
            op.out_index[rank++] = i;
        }
    }
    if (elems > 300000)
        return;
    if (rank > 1 && random_below(state, 2)) { /* transposed output */
        int t = op.out_index[0];
        op.out_index[0] = op.out_index[1];
        op.out_index[1] = t;
        int64_t x = extent[0];
        extent[0] = extent[1];
        extent[1] = x;
    }
    op.reduce = rank < op.indices || join ? FUSE_REDUCE_SUM : FUSE_REDUCE_NONE;
    if (op.kind != FUSE_OP_EINSUM)
        op.body = sum_body(ir->arena, op.inputs, join && ir->values.at[relation].dtype == FUSE_BOOL);
    op.out = fuse_ir_add_value(ir, NULL, FUSE_NO_SPAN, FUSE_F32, rank, extent);
    fuse_ir_add_op(ir, &op);
    for (int a = 0; rows && a < rank && rows->values < 8; a++)
        if (op.out_index[a] == 0) {
            rows->value[rows->values] = op.out;
            rows->axis[rows->values++] = a;
        }
}

/* Operations that share an axis, as those of a softmax do. */
static void add_chain(struct fuse_ir *ir, struct random_state *state) {
    int v = (int)random_below(state, ir->values.n);
    const struct fuse_value *value = &ir->values.at[v];
    if (value->rank == 0 || fuse_is_relation(ir, v))
        return;
    struct rows rows = {.values = 1, .value = {v}, .axis = {(int)random_below(state, value->rank)}};
    rows.extent = value->extent[rows.axis[0]];
    int ops = 2 + (int)random_below(state, 4);
    for (int i = 0; i < ops; i++)
        add_operation(ir, state, &rows, -1);
}

static void add_sink(struct fuse_ir *ir, int value) {
    struct fuse_op op = {.kind = FUSE_OP_SINK,
                         .span = FUSE_NO_SPAN,
                         .out = -1,
                         .inputs = 1,
                         .path = fuse_arena_printf(ir->arena, "y%d.npy", value)};
    op.input = FUSE_NEW_ARRAY(ir->arena, struct fuse_use, 1);
    op.input[0].value = value;
    op.input[0].access = fuse_access_identity(ir->values.at[value].rank);
    fuse_ir_add_op(ir, &op);
}

void random_program(struct fuse_ir *ir, struct random_state *state, bool relations) {
    int sources = 1 + (int)random_below(state, 3);
    for (int i = 0; i < sources; i++)
        add_source(ir, state, random_below(state, 4) == 0);
    int ops = 1 + (int)random_below(state, 5);
    bool chain = random_below(state, 5) < 2;
    if (chain)
        add_chain(ir, state);
    for (int joins = chain || !relations ? 0 : (int)random_below(state, 3); joins > 0; joins--) {
        int relation = add_relation(ir, state);
        add_operation(ir, state, NULL, relation);
        if (random_below(state, 2))
            add_operation(ir, state, NULL, relation);
    }
    for (int i = 0; i < ops; i++)
        add_operation(ir, state, NULL, -1);
    for (int v = 0; v < ir->values.n; v++)
        if (!fuse_is_relation(ir, v) && (v == ir->values.n - 1 || random_below(state, 3) == 0))
            add_sink(ir, v);
}

int random_pins(struct fuse_ir *ir, struct fuse_plan_request *request, struct random_state *state) {
    struct fuse_plan_pin *pin = FUSE_NEW_ARRAY(ir->arena, struct fuse_plan_pin, ir->values.n);
    int pins = 0, left = request->ranks;
    for (int i = 0; random_below(state, 4) > 0 && i < 3; i++) {
        int size = 1 + (int)random_below(state, left);
        request->mesh_size[request->mesh_sizes++] = size;
        left /= size;
    }
    for (int v = 0; v < ir->values.n; v++) {
        struct fuse_value *value = &ir->values.at[v];
        if (fuse_is_relation(ir, v) || random_below(state, 3) > 0)
            continue;
        struct fuse_plan_pin *one = &pin[pins++];
        one->all = value->rank > 0 && random_below(state, 3) == 0 ? (int)random_below(state, value->rank) : -1;
        bool taken[3] = {false};
        for (int k = 0; one->all < 0 && value->rank > 0 && k < request->mesh_sizes; k++) {
            int dim = (int)random_below(state, request->mesh_sizes);
            if (taken[dim])
                continue;
            taken[dim] = true;
            one->split[one->splits].axis = (int)random_below(state, value->rank);
            one->split[one->splits++].dim = dim;
        }
        value->pin = pins;
    }
    request->pin = pin;
    return pins;
}
