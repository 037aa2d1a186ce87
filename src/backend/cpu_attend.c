/* Attention by blocks of queries and keys, with an online softmax: the largest score so far, the sum of weights and the
 * weighted values of a block of queries are carried from one block of keys to the next.
 *
 * Every row is worked on by itself, its blocks of keys begin at multiples of a length that depends on the type and the
 * extents alone: results do not depend on threads, nor on the part of the rows that a rank has. */
#include "backend/call_check.h"
#include "backend/cpu_attend.h"
#include "backend/cpu_map.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define MOST_KEYS 256
#define PACKED_BYTES ((size_t)1 << 20)
#define VALUE_BYTES ((size_t)1 << 20)
#define MOST_ROWS (40 * FUSE_ATTEND_ROWS)
#define PARTS 4 /* a thread, at least, if there are so many rows */

/* Which keys a query sees, beside what the rest of the body says: those up to its own position + shift. */
struct view_of_keys {
    bool causal;
    int64_t shift;
};

/* The call as rows of queries, columns of values and everything else. */
struct attention {
    const struct fuse_attention_call *call;
    const struct fuse_attend_kernels *kernels;
    struct fuse_cpu_backend *cpu;
    int row, column; /* indices; -1: there is none, one point */
    int64_t rows, columns, keys, depth, batches;
    size_t size;
    struct view_of_keys view;
    bool plain; /* scores are `scale` times products, for all keys that are seen */
    double scale;
    int64_t block_keys, part_rows, parts; /* parts: of all batches */
    int64_t padded_keys, padded_columns;  /* whole panels */
};

/* One part: where its operands begin, and the thread's memory. */
struct part {
    struct fuse_map_call score; /* the body on a block of scores */
    struct fuse_operand_view operand[64];
    const char *q, *k, *v;
    char *out;
    int64_t first, rows;
    int64_t computed; /* scores */
    char *keys, *values, *scores, *sums, *most, *totals, *fade;
};

/* ---- what the body says ------------------------------------------------------------------------------------------ */

static const struct fuse_scalar_node *node_at(const struct fuse_scalar *body, int node) {
    return &body->node[node];
}

/* A positive multiple of the product of queries and keys. */
static bool is_scaled(const struct fuse_scalar *body, int root, double *scale) {
    const struct fuse_scalar_node *n = node_at(body, root);
    *scale = 1;
    if (n->op == FUSE_SCALAR_LOAD)
        return n->arg == 0;
    if (n->op != FUSE_SCALAR_MUL || node_at(body, n->b)->op != FUSE_SCALAR_CONST ||
        node_at(body, n->a)->op != FUSE_SCALAR_LOAD || node_at(body, n->a)->arg != 0)
        return false;
    *scale = node_at(body, n->b)->real;
    return *scale > 0 && *scale <= 0x1p100;
}

/* A conjunct of the test that is causal limits the keys; with nothing but that and a scale the body need not run. */
static void read_body(struct attention *a) {
    const struct fuse_scalar *body = a->call->at.body;
    bool alone;
    a->view.causal = fuse_scalar_is_causal(body, a->call->key, a->row, &a->view.shift, &alone);
    int score = alone ? node_at(body, body->n - 1)->b : body->n - 1;
    a->plain = is_scaled(body, score, &a->scale);
    if (!a->plain)
        a->scale = 1;
}

/* ---- shape ------------------------------------------------------------------------------------------------------- */

static bool moves(const struct fuse_operand_view *o, int x) {
    return o->stride[x] != 0;
}

static int64_t multiple(int64_t n, int64_t of) {
    return (n + of - 1) / of * of;
}

/* The longest index of out that only the queries have, and the longest that only the values have. */
static void choose_indices(struct attention *a) {
    const struct fuse_map_call *at = &a->call->at;
    bool in_body[FUSE_MAX_AXES] = {false};
    for (int i = 0; i < at->body->n; i++)
        if (at->body->node[i].op == FUSE_SCALAR_IOTA)
            in_body[at->body->node[i].arg] = true;
    for (int o = 3; o < at->operands; o++)
        for (int x = 0; x < at->indices; x++)
            in_body[x] |= moves(&at->operand[o], x);
    a->row = a->column = -1;
    for (int x = 0; x < at->indices; x++) {
        const struct fuse_operand_view *q = &at->operand[0], *k = &at->operand[1], *v = &at->operand[2];
        if (!(at->in_out >> x & 1) || at->extent[x] == 1)
            continue;
        bool row = !moves(k, x) && !moves(v, x);
        bool column = !moves(q, x) && !moves(k, x) && !in_body[x] && at->extent[x] <= FUSE_ATTENTION_WIDTH;
        if (row && (moves(q, x) || in_body[x]) && (a->row < 0 || at->extent[x] > at->extent[a->row]))
            a->row = x;
        else if (column && (a->column < 0 || at->extent[x] > at->extent[a->column]))
            a->column = x;
    }
    a->rows = a->row < 0 ? 1 : at->extent[a->row];
    a->columns = a->column < 0 ? 1 : at->extent[a->column];
    a->keys = at->extent[a->call->key];
    a->depth = at->extent[a->call->depth];
    a->batches = 1;
    for (int x = 0; x < at->indices; x++)
        if (at->in_out >> x & 1 && x != a->row && x != a->column)
            a->batches *= at->extent[x];
}

static void choose_blocks(struct attention *a) {
    const int lanes = a->kernels->lanes, threads = a->cpu->threads;
    a->padded_columns = multiple(a->columns, lanes);
    int64_t fit = (int64_t)(PACKED_BYTES / a->size) / (a->depth + a->padded_columns);
    a->block_keys = fit < MOST_KEYS ? fit / lanes * lanes : MOST_KEYS;
    a->padded_keys = a->block_keys + 16; /* rows of scores begin in different sets of the cache */
    int64_t most = (int64_t)(VALUE_BYTES / a->size) / a->padded_columns / FUSE_ATTEND_ROWS * FUSE_ATTEND_ROWS;
    int64_t rows = multiple(a->rows, FUSE_ATTEND_ROWS);
    rows = rows < MOST_ROWS ? rows : MOST_ROWS;
    rows = rows < most ? rows : most;
    while (rows > FUSE_ATTEND_ROWS && a->batches * ((a->rows + rows - 1) / rows) < (int64_t)PARTS * threads)
        rows = multiple(rows / 2, FUSE_ATTEND_ROWS) < rows ? multiple(rows / 2, FUSE_ATTEND_ROWS) : FUSE_ATTEND_ROWS;
    a->part_rows = rows;
    a->parts = a->batches * ((a->rows + rows - 1) / rows);
}

/* ---- one part ---------------------------------------------------------------------------------------------------- */

static void place_memory(const struct attention *a, struct part *p, char *scratch) {
    char *at = scratch + ((size_t)1 << 20); /* below: the tile buffers of the body */
    p->keys = at;
    at += multiple(a->block_keys * a->depth * (int64_t)a->size, 64);
    p->values = at;
    at += multiple(a->block_keys * a->padded_columns * (int64_t)a->size, 64);
    p->scores = at;
    at += (size_t)FUSE_ATTEND_ROWS * (size_t)a->padded_keys * a->size;
    p->sums = at;
    at += multiple(a->part_rows * a->padded_columns * (int64_t)a->size, 64);
    p->totals = at;
    at += (size_t)a->part_rows * 16 * a->size;
    p->most = at;
    at += multiple(a->part_rows * (int64_t)a->size, 64);
    p->fade = at;
}

static void find_part(const struct attention *a, struct part *p, int64_t number, char *scratch) {
    const struct fuse_map_call *at = &a->call->at;
    const int64_t in_batch = a->parts / a->batches, size = (int64_t)a->size;
    int64_t batch = number / in_batch;
    /* The longest ones first: the last queries see most keys. */
    int64_t turn = a->view.causal ? in_batch - 1 - number % in_batch : number % in_batch;
    p->first = turn * a->part_rows;
    p->rows = a->rows - p->first < a->part_rows ? a->rows - p->first : a->part_rows;
    p->score = *at;
    p->score.operand = p->operand;
    for (int o = 0; o < at->operands; o++)
        p->operand[o] = at->operand[o];
    int64_t out = 0;
    for (int x = at->indices - 1; x >= 0; x--) {
        int64_t position = 0;
        if (x == a->row) {
            position = p->first;
        } else if (at->in_out >> x & 1 && x != a->column) {
            position = batch % at->extent[x];
            batch /= at->extent[x];
        }
        p->score.origin[x] += position;
        p->score.extent[x] = 1;
        out += position * at->out.stride[x];
        for (int o = 0; o < at->operands; o++)
            p->operand[o].data = (char *)p->operand[o].data +
                                 position * at->operand[o].stride[x] * (int64_t)fuse_dtype_bytes(p->operand[o].dtype);
    }
    p->q = p->operand[0].data;
    p->k = p->operand[1].data;
    p->v = p->operand[2].data;
    p->out = (char *)at->out.data + out * size;
    place_memory(a, p, scratch);
    memset(p->sums, 0, (size_t)(p->rows * a->padded_columns) * a->size);
    memset(p->totals, 0, (size_t)p->rows * 16 * a->size);
    for (int64_t r = 0; r < p->rows; r++)
        if (a->size == 4)
            ((float *)p->most)[r] = -INFINITY;
        else
            ((double *)p->most)[r] = -INFINITY;
}

/* Keys of the block at `key` that row r of the part may see. */
static int64_t seen(const struct attention *a, const struct part *p, int64_t r, int64_t key, int64_t keys) {
    if (!a->view.causal)
        return keys;
    const struct fuse_map_call *at = &a->call->at;
    int64_t last = at->origin[a->row] + p->first + r + a->view.shift - at->origin[a->call->key];
    int64_t n = last + 1 - key;
    return n < 0 ? 0 : n < keys ? n : keys;
}

/* The body on rows [r, r + n) of the part and a block of keys, in place. */
static bool run_body(const struct attention *a, struct part *p, int64_t r, int64_t n, int64_t key, int64_t keys,
                     char *scratch, struct fuse_error *err) {
    const int key_index = a->call->key;
    struct fuse_map_call call = p->score;
    struct fuse_operand_view operand[64];
    memset(operand, 0, sizeof operand[0] * 3);
    for (int o = 3; o < call.operands; o++) {
        operand[o] = p->operand[o];
        int64_t offset = key * operand[o].stride[key_index] + (a->row < 0 ? 0 : r * operand[o].stride[a->row]);
        operand[o].data = (char *)operand[o].data + offset * (int64_t)fuse_dtype_bytes(operand[o].dtype);
    }
    struct fuse_operand_view scores = {.data = p->scores, .dtype = fuse_map_body_dtype(&call)};
    operand[1].dtype = operand[2].dtype = scores.dtype;
    scores.stride[key_index] = 1;
    call.extent[key_index] = keys;
    call.origin[key_index] += key;
    if (a->row >= 0) {
        scores.stride[a->row] = a->padded_keys;
        call.extent[a->row] = n;
        call.origin[a->row] += r;
    }
    operand[0] = scores;
    call.operand = operand;
    call.out = scores;
    call.reduce = FUSE_REDUCE_NONE;
    call.in_out = (uint32_t)(((uint64_t)1 << call.indices) - 1);
    struct fuse_map_plan plan;
    if (fuse_map_plan_open(&plan, a->cpu, &call, err) != FUSE_OK)
        return false;
    fuse_map_run_tiles(&plan, scratch, 0, (plan.kept + plan.length - 1) / plan.length);
    fuse_map_plan_close(&plan);
    return true;
}

/* Rows [r, r + n) of the part meet a block of packed keys and values. */
static bool meet(const struct attention *a, struct part *p, int64_t r, int64_t n, int64_t key, int64_t keys,
                 char *scratch, struct fuse_error *err) {
    const struct fuse_attend_kernels *kernels = a->kernels;
    const struct fuse_map_call *at = &a->call->at;
    const int64_t size = (int64_t)a->size, lanes = kernels->lanes;
    const int64_t q_row = a->row < 0 ? 0 : at->operand[0].stride[a->row],
                  q_depth = at->operand[0].stride[a->call->depth];
    int64_t count[FUSE_ATTEND_ROWS], first = 0;
    for (int64_t i = 0; i < n; i++)
        count[i] = seen(a, p, r + i, key, keys);
    if (count[n - 1] == 0)
        return true;
    const int64_t fill = a->plain ? count[n - 1] : keys;
    for (int64_t panel = 0; panel * lanes < fill; panel++) {
        while (a->plain && first < n && count[first] <= panel * lanes)
            first++;
        int64_t begin = first / FUSE_ATTEND_GROUP * FUSE_ATTEND_GROUP;
        p->computed += (n - begin) * lanes;
        kernels->product(n - begin, a->depth, p->q + (r + begin) * q_row * size, q_row, q_depth,
                         p->keys + panel * lanes * a->depth * size,
                         p->scores + (begin * a->padded_keys + panel * lanes) * size, a->padded_keys, NULL);
    }
    if (!a->plain) {
        if (!run_body(a, p, r, n, key, keys, scratch, err))
            return false;
        for (int64_t i = 0; i < n; i++)
            count[i] = keys;
    }
    struct fuse_attend_rows rows = {.rows = n,
                                    .score = p->scores,
                                    .stride = a->padded_keys,
                                    .seen = count,
                                    .fill = fill,
                                    .scale = a->scale,
                                    .most = p->most + r * size,
                                    .sum = p->totals + r * 16 * size,
                                    .fade = p->fade};
    kernels->weigh(&rows);
    for (int64_t i = 0; i < n; i += FUSE_ATTEND_GROUP) {
        int64_t group = n - i < FUSE_ATTEND_GROUP ? n - i : FUSE_ATTEND_GROUP, depth = count[i + group - 1];
        for (int64_t c = 0; c < a->padded_columns && depth > 0; c += lanes)
            kernels->product(group, depth, p->scores + i * a->padded_keys * size, a->padded_keys, 1,
                             p->values + c * keys * size, p->sums + ((r + i) * a->padded_columns + c) * size,
                             a->padded_columns, p->fade + i * size);
    }
    return true;
}

/* Adds the scores that it has computed to *computed. */
static bool run_part(const struct attention *a, int64_t number, char *scratch, int64_t *computed,
                     struct fuse_error *err) {
    const struct fuse_map_call *at = &a->call->at;
    const int64_t size = (int64_t)a->size;
    const int key_index = a->call->key;
    struct part p;
    find_part(a, &p, number, scratch);
    p.computed = 0;
    for (int64_t key = 0; key < a->keys; key += a->block_keys) {
        const int64_t keys = a->keys - key < a->block_keys ? a->keys - key : a->block_keys;
        if (seen(a, &p, p.rows - 1, key, keys) == 0)
            break;
        const int64_t k_key = at->operand[1].stride[key_index], v_key = at->operand[2].stride[key_index];
        a->kernels->pack(p.keys, p.k + key * k_key * size, keys, k_key, a->depth,
                         at->operand[1].stride[a->call->depth]);
        a->kernels->pack(p.values, p.v + key * v_key * size, a->columns,
                         a->column < 0 ? 0 : at->operand[2].stride[a->column], keys, v_key);
        for (int64_t r = 0; r < p.rows; r += FUSE_ATTEND_ROWS)
            if (!meet(a, &p, r, p.rows - r < FUSE_ATTEND_ROWS ? p.rows - r : FUSE_ATTEND_ROWS, key, keys, scratch, err))
                return false;
    }
    a->kernels->finish(p.out, a->row < 0 ? 0 : at->out.stride[a->row], a->column < 0 ? 0 : at->out.stride[a->column],
                       p.sums, a->padded_columns, p.totals, p.rows, a->columns, a->call->guarded);
    *computed += p.computed;
    return true;
}

enum fuse_status fuse_cpu_run_attention(struct fuse_cpu_backend *cpu, const struct fuse_attention_call *call,
                                        struct fuse_error *err) {
    bool is_double = fuse_map_body_dtype(&call->at) == FUSE_F64;
    struct attention a = {.call = call,
                          .cpu = cpu,
                          .kernels = is_double ? cpu->tile->attend_f64 : cpu->tile->attend_f32,
                          .size = is_double ? 8 : 4};
    if (call->at.operands > 64)
        return fuse_fail(err, FUSE_EBUG, "attention: %d operands", call->at.operands);
    choose_indices(&a);
    if (a.rows == 0 || a.columns == 0 || a.batches == 0)
        return FUSE_OK;
    read_body(&a);
    choose_blocks(&a);
    const int threads = fuse_cpu_threads(cpu, a.parts, INT64_MAX);
    bool failed = false;
    int64_t computed = 0;
#pragma omp parallel num_threads(threads) reduction(|| : failed) reduction(+ : computed)
    {
        struct fuse_error own = {0};
#pragma omp for schedule(dynamic, 1)
        for (int64_t part = 0; part < a.parts; part++)
            failed = failed || !run_part(&a, part, cpu->scratch + (size_t)omp_get_thread_num() * FUSE_CPU_SCRATCH,
                                         &computed, &own);
    }
    cpu->base.scores += computed;
    return failed ? fuse_fail(err, FUSE_EMEMORY, "no memory for the body of an attention") : FUSE_OK;
}
