#include "plan/cost.h"
#include "plan/ordered.h"

#define ATTENTION_WORK 3 /* a score less the largest, its exponential, the sum */
#define UNIFORM_WORK 16  /* ten rounds of Philox, shared by four numbers */
#define NORMAL_WORK 40   /* .. and a logarithm, a root and a sine or cosine */
#define GUESSED_PER_ID 8
#define ORDERED_PERCENT 150 /* of the time of a product, when its sums are in a fixed order */

static int64_t iteration_elems(const struct fuse_plan *plan, int number, const struct fuse_layout *partition) {
    int64_t n = 1;
    for (int i = 0; i < plan->ir->ops.at[number]->indices; i++)
        n = fuse_sat_mul(n, fuse_index_largest(plan, number, partition, i));
    return n;
}

static bool reads(const struct fuse_use *use, int index) {
    for (int a = 0; a < use->access.rank; a++)
        if (use->access.at[a].index == index)
            return true;
    return false;
}

/* Points of the indices that an input is read through. */
static int64_t read_elems(const struct fuse_plan *plan, int number, int input, const struct fuse_layout *partition) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    int64_t n = 1;
    for (int i = 0; i < op->indices; i++)
        if (reads(&op->input[input], i))
            n = fuse_sat_mul(n, fuse_index_largest(plan, number, partition, i));
    return n;
}

/* Of a relation that rules derive nobody knows how many tuples it has; a few for each id, say. */
static int64_t guess_tuples(const struct fuse_value *relation, int64_t most) {
    int64_t guess = 1;
    for (int a = 0; a < relation->rank; a++)
        guess = fuse_sat_add(guess, fuse_sat_mul(GUESSED_PER_ID, relation->extent[a]));
    return guess < most ? guess : most;
}

/* The tuples of one rank of a JOIN, were they spread evenly; *others: points of the indices that the relation lacks. */
static int64_t even_tuples(const struct fuse_plan *plan, const struct fuse_op *op, const struct fuse_layout *partition,
                           int64_t *others) {
    const struct fuse_value *relation = &plan->ir->values.at[op->input[0].value];
    struct fuse_box all = fuse_box_full(relation->rank, relation->extent);
    int64_t n = fuse_relation_most(plan->ir, op->input[0].value, &all);
    n = fuse_is_derived(plan->ir, op->input[0].value) ? guess_tuples(relation, n) : n;
    *others = 1;
    for (int i = 0; i < op->indices; i++) {
        int64_t parts = fuse_layout_parts(partition, &plan->mesh, i);
        bool read = false;
        for (int a = 0; a < op->input[0].access.rank; a++)
            read |= op->input[0].access.at[a].index == i;
        if (read)
            n = (n + parts - 1) / parts;
        else
            *others = fuse_sat_mul(*others, (op->extent[i] + parts - 1) / parts);
    }
    return n;
}

static int64_t join_elems(const struct fuse_plan *plan, const struct fuse_op *op, const struct fuse_layout *partition) {
    int64_t others, n = even_tuples(plan, op, partition, &others);
    return fuse_sat_mul(n, others);
}

/* What n things take, of which 1,024 take `each`. */
static int64_t of_kilo(int64_t n, int64_t each) {
    return fuse_sat_add(fuse_sat_mul(n / 1024, each), fuse_sat_mul(n % 1024, each) / 1024);
}

int64_t fuse_cost_bring_tuples_ps(const struct fuse_plan *plan, int64_t tuples, int64_t row_bytes) {
    return fuse_sat_add(fuse_cost_receive_ps(
                            plan, fuse_cost_from_anywhere(plan, fuse_sat_mul(tuples, row_bytes), plan->mesh.ranks - 1)),
                        of_kilo(tuples, plan->request.machine.sort_ps_per_ktuple));
}

int64_t fuse_cost_tuples_ps(const struct fuse_plan *plan, int number, const struct fuse_layout *partition,
                            int64_t *held) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    int64_t others, n = even_tuples(plan, op, partition, &others);
    int64_t row_bytes = 8 * (op->input[0].access.rank + 1);
    *held = fuse_sat_mul(n, row_bytes + row_bytes / 2 + (int64_t)sizeof(uint32_t));
    return fuse_cost_bring_tuples_ps(plan, n, row_bytes);
}

static int work_of(const struct fuse_op *op) {
    int work = 0;
    for (int i = 0; i < op->body->n; i++)
        work += fuse_scalar_arity(op->body->node[i].op) > 0;
    return work;
}

int fuse_cost_body_work(const struct fuse_op *op) {
    int work = work_of(op);
    for (int i = 0; i < op->body->n; i++)
        work += op->body->node[i].op == FUSE_SCALAR_UNIFORM  ? UNIFORM_WORK - 1
                : op->body->node[i].op == FUSE_SCALAR_NORMAL ? NORMAL_WORK - 1
                                                             : 0;
    return work;
}

/* Keys that the queries below `end` see, each those up to its own position + shift. */
static __int128 seen_below(int64_t end, int64_t keys, int64_t shift) {
    int64_t first = shift < 0 ? -shift : 0;                            /* query that sees a key */
    int64_t all = keys - 1 - shift > first ? keys - 1 - shift : first; /* query that sees all of them */
    int64_t some = (end < all ? end : all) - first;
    __int128 seen = 0;
    if (some > 0)
        seen = (__int128)some * (first + 1 + shift) + (__int128)some * (some - 1) / 2;
    return end > all ? seen + (__int128)(end - all) * keys : seen;
}

/* Pairs of a query and a key that it sees: those of the part that has most of them, and of all. */
struct pairs {
    int64_t most, all;
};

static int64_t saturated(__int128 n) {
    return n < INT64_MAX ? (int64_t)n : INT64_MAX;
}

static struct pairs causal_pairs(const struct fuse_plan *plan, const struct fuse_op *op,
                                 const struct fuse_layout *partition, int row, int key, int64_t shift) {
    const int64_t extent = op->extent[row], keys = op->extent[key];
    const int64_t parts = fuse_layout_parts(partition, &plan->mesh, row);
    const int64_t chunks = fuse_layout_chunks(partition, &plan->mesh, row);
    __int128 most = 0;
    shift = shift > keys ? keys : shift < -extent ? -extent : shift;
    for (int64_t part = 0; part < parts; part++) {
        const int64_t chunk[FUSE_LAYOUT_HALVES] = {part, chunks - 1 - part};
        __int128 seen = 0;
        for (int half = 0; half < chunks / parts; half++)
            seen += seen_below(fuse_split_begin(extent, chunks, chunk[half] + 1), keys, shift) -
                    seen_below(fuse_split_begin(extent, chunks, chunk[half]), keys, shift);
        most = seen > most ? seen : most;
    }
    return (struct pairs){saturated(most), saturated(seen_below(extent, keys, shift))};
}

int64_t fuse_cost_balance(const struct fuse_plan *plan, int number, const struct fuse_layout *partition) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    int64_t shift;
    int key, depth, row = fuse_attention_row(plan->ir, op, &shift);
    if (row < 0 || !fuse_attention_indices(plan->ir, op, &key, &depth))
        return 1000;
    struct pairs pairs = causal_pairs(plan, op, partition, row, key, shift);
    int64_t parts = fuse_layout_parts(partition, &plan->mesh, row);
    return pairs.all > 0 ? saturated((__int128)1000 * parts * pairs.most / pairs.all) : 1000;
}

/* Scores of an attention that the busiest rank computes, and multiplications for each: over the depth, and for each element of
 * a row of values. */
static int64_t attention_scores(const struct fuse_plan *plan, const struct fuse_op *op,
                                const struct fuse_layout *partition, int64_t *products) {
    int key, depth;
    int64_t scores = 1, columns = 1, shift;
    const int row = fuse_attention_row(plan->ir, op, &shift);
    fuse_attention_indices(plan->ir, op, &key, &depth);
    if (row >= 0)
        scores = causal_pairs(plan, op, partition, row, key, shift).most;
    for (int i = 0; i < op->indices; i++) {
        int64_t parts = fuse_layout_parts(partition, &plan->mesh, i), n = (op->extent[i] + parts - 1) / parts;
        if (row >= 0 && (i == row || i == key))
            continue;
        if (i != depth && fuse_attention_scores_have(op, i))
            scores = fuse_sat_mul(scores, n);
        else if (i != depth)
            columns = fuse_sat_mul(columns, n);
    }
    *products = fuse_sat_add(op->extent[depth], columns);
    return scores;
}

/* Time of 1,024 multiplications and additions. */
static int64_t product_ps(const struct fuse_plan *plan, const struct fuse_op *op) {
    const struct fuse_machine *m = &plan->request.machine;
    enum fuse_dtype dtype = plan->ir->values.at[op->out].dtype;
    return dtype == FUSE_F64 ? m->f64_ps_per_kflop : dtype == FUSE_I64 ? m->i64_ps_per_kflop : m->f32_ps_per_kflop;
}

/* Operations of an attention, and their time: scores of so many products each, and what is done with each score. */
static struct fuse_cost_work attention_work(const struct fuse_plan *plan, const struct fuse_op *op, int64_t scores,
                                            int64_t products) {
    const struct fuse_machine *m = &plan->request.machine;
    const int64_t each = work_of(op) + ATTENTION_WORK;
    return (struct fuse_cost_work){
        fuse_sat_mul(scores, fuse_sat_add(fuse_sat_mul(2, products), each)),
        fuse_sat_add(fuse_sat_mul(fuse_sat_mul(scores, 2 * products), product_ps(plan, op)) / 1024,
                     of_kilo(fuse_sat_mul(scores, each), m->map_ps_per_kflop))};
}

struct fuse_cost_work fuse_cost_scores(const struct fuse_plan *plan, int number, const struct fuse_layout *partition) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    int key, depth;
    int64_t products, scores = attention_scores(plan, op, partition, &products);
    fuse_attention_indices(plan->ir, op, &key, &depth);
    return attention_work(plan, op, scores, op->extent[depth]);
}

int64_t fuse_cost_flops(const struct fuse_plan *plan, int number, const struct fuse_layout *partition) {
    const struct fuse_op *op = plan->ir->ops.at[number];
    int64_t n = op->kind == FUSE_OP_JOIN ? join_elems(plan, op, partition) : iteration_elems(plan, number, partition);
    if (op->kind == FUSE_OP_EINSUM)
        return fuse_sat_mul(n, op->inputs);
    if (op->kind == FUSE_OP_MAP || op->kind == FUSE_OP_JOIN)
        return fuse_sat_mul(n, work_of(op) + (op->reduce != FUSE_REDUCE_NONE));
    if (op->kind == FUSE_OP_ATTENTION) {
        int64_t products, scores = attention_scores(plan, op, partition, &products);
        return attention_work(plan, op, scores, products).flops;
    }
    return 0;
}

int64_t fuse_cost_compute_ps(const struct fuse_plan *plan, int number, const struct fuse_layout *partition) {
    const struct fuse_machine *m = &plan->request.machine;
    const struct fuse_op *op = plan->ir->ops.at[number];
    int64_t flops = fuse_cost_flops(plan, number, partition);
    int64_t per_kflop = product_ps(plan, op);
    if (fuse_sum_is_ordered(plan, number))
        per_kflop = fuse_sat_mul(per_kflop, ORDERED_PERCENT) / 100;
    if (op->kind == FUSE_OP_EINSUM)
        return fuse_sat_mul(flops, per_kflop) / 1024;
    if (op->kind == FUSE_OP_JOIN)
        return of_kilo(flops, m->join_ps_per_kflop);
    if (op->kind == FUSE_OP_ATTENTION) {
        int64_t products, scores = attention_scores(plan, op, partition, &products);
        return attention_work(plan, op, scores, products).time_ps;
    }
    /* A map is bound by memory or, with long bodies, by some eight operations per element and tile pass. */
    int64_t elems = iteration_elems(plan, number, partition);
    int64_t bytes = fuse_sat_mul(4, op->reduce == FUSE_REDUCE_NONE ? elems : 0);
    for (int k = 0; k < op->inputs; k++)
        bytes = fuse_sat_add(bytes, fuse_sat_mul(4, read_elems(plan, number, k, partition)));
    if (op->kind == FUSE_OP_MAP)
        flops = fuse_sat_mul(elems, fuse_cost_body_work(op) + (op->reduce != FUSE_REDUCE_NONE));
    return fuse_sat_add(fuse_sat_mul(bytes, m->map_ps_per_kib) / 1024, of_kilo(flops, m->map_ps_per_kflop));
}
