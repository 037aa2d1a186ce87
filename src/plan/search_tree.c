/* Dynamic programming over a program's trees: from the sources up, what each layout of each result costs at the least with all
 * that leads to it; then, from the last operation down, the choices that this comes from. What several operations read is
 * paid by each its share, and lies as is best for all of them when they have chosen. */
#include "plan/search_internal.h"

#include "plan/cost.h"

#define BEAM 64                    /* layouts of a result that are looked at: the cheapest */
#define LEAST_BEAM 4               /* with fewer it is no use */
#define LOOK_UPS ((int64_t)200000) /* bound of the effort: prices of an input under a partition that are asked for */

/* The cheapest way to a layout. */
struct way {
    struct fuse_layout partition;
    struct fuse_search_option option;
    int64_t time_ps; /* with all that leads to it */
};
struct table {
    int n, beam, readers; /* at most `beam` */
    struct way *way;      /* by time */
};
struct tree {
    struct fuse_search *s;
    struct table *table;       /* [values] */
    int64_t looked_up, inputs; /* inputs: of partitions, not looked at yet; one more for each */
};

static int readers(const struct fuse_search *s, int value) {
    int n = 0;
    for (int u = s->user_begin[value]; u < s->user_begin[value + 1]; u++)
        n += fuse_search_divides(s->plan->ir->ops.at[s->user[u]]->kind);
    return n;
}

/* The ways to an input of an operation, and what it costs from there. */
struct reach {
    struct fuse_search_bring **row[BEAM]; /* of each way; of what has none, the first */
};

static void list_rows(struct reach *reach, struct tree *t, int number, int k) {
    struct fuse_search *s = t->s;
    const int v = s->plan->ir->ops.at[number]->input[k].value;
    const struct table *table = &t->table[v];
    if (fuse_is_relation(s->plan->ir, v) || fuse_search_follows_users(s, v))
        return;
    for (int i = 0; i < table->n; i++)
        reach->row[i] = fuse_search_row_of(s, number, k, &table->way[i].option.final);
    if (table->n == 0)
        reach->row[0] = fuse_search_row_of(s, number, k, &s->plan->layout[v]);
}

static int64_t look_up(struct tree *t, struct fuse_search_bring **row, int at, int number, int k,
                       const struct fuse_layout *have) {
    int64_t held;
    t->looked_up++;
    return fuse_search_row_ps(t->s, row, at, number, k, have, &held);
}

/* Time until an input is where partition number `at` needs it. */
static int64_t reach_ps(struct tree *t, const struct reach *reach, int at, int number, int k) {
    struct fuse_search *s = t->s;
    const struct fuse_layout *partition = &s->space[number]->partition[at];
    const struct fuse_plan *plan = s->plan;
    int v = plan->ir->ops.at[number]->input[k].value;
    const struct table *table = &t->table[v];
    int64_t held, block, lowest = INT64_MAX;
    struct fuse_layout layout;
    if (fuse_is_relation(plan->ir, v))
        return fuse_cost_tuples_ps(plan, number, partition, &held);
    if (fuse_search_follows_users(s, v))
        return fuse_search_place_loaded(s, number, k, partition, &layout, &held, &block);
    if (table->n == 0)
        return look_up(t, reach->row[0], at, number, k, &plan->layout[v]);
    /* What the partition reads in place comes first: most others are dearer than that without being moved. */
    int shares = table->readers, first = 0;
    layout = fuse_plan_project(plan, number, k, partition);
    while (first < table->n && !fuse_layout_equal(&table->way[first].option.final, &layout))
        first++;
    for (int i = first < table->n ? -1 : 0; i < table->n; i++) {
        const int number_of_way = i < 0 ? first : i;
        const struct way *way = &table->way[number_of_way];
        if (i == first)
            continue;
        if (i >= 0 && way->time_ps / shares >= lowest)
            break;
        int64_t time = fuse_sat_add(look_up(t, reach->row[number_of_way], at, number, k, &way->option.final),
                                    way->time_ps / shares);
        lowest = time < lowest ? time : lowest;
    }
    return lowest;
}

/* Keeps the cheapest for each layout, and of these the `beam` cheapest, in order. */
static void add_way(struct table *table, const struct way *way) {
    int at = 0;
    while (at < table->n && !fuse_layout_equal(&table->way[at].option.final, &way->option.final))
        at++;
    if (at == table->n && table->n < table->beam) {
        table->n++;
    } else {
        at = at == table->n ? table->beam - 1 : at;
        if (table->way[at].time_ps <= way->time_ps)
            return;
    }
    for (; at > 0 && table->way[at - 1].time_ps > way->time_ps; at--)
        table->way[at] = table->way[at - 1];
    table->way[at] = *way;
}

/* Ways that take longer are of no use any more. */
static int64_t slowest_ps(const struct table *table) {
    return table->n < table->beam ? INT64_MAX : table->way[table->n - 1].time_ps;
}

static void fill_table(struct tree *t, int number, int beam) {
    struct fuse_search *s = t->s;
    const struct fuse_op *op = s->plan->ir->ops.at[number];
    const struct fuse_search_space *space = fuse_search_space_of(s, number);
    struct way way;
    struct reach reach[FUSE_MAX_INPUTS];
    struct table *table = &t->table[op->out];
    table->beam = beam;
    table->readers = readers(s, op->out);
    for (int k = 0; k < op->inputs; k++)
        list_rows(&reach[k], t, number, k);
    table->way = FUSE_NEW_ARRAY(s->plan->arena, struct way, beam);
    for (int i = 0, n = fuse_search_candidates(s, number, space); i < n; i++) {
        int64_t before = space->compute_ps[i];
        for (int k = 0; k < op->inputs && before <= slowest_ps(table); k++)
            before = fuse_sat_add(before, reach_ps(t, &reach[k], i, number, k));
        if (before > slowest_ps(table))
            continue;
        const struct fuse_search_finish *finish = fuse_search_finish_at(s, number, i);
        for (int f = 0; f < finish->options; f++) {
            way = (struct way){.partition = space->partition[i], .option = finish->option[f]};
            way.time_ps = fuse_sat_add(before, way.option.time_ps);
            add_way(table, &way);
        }
    }
}

/* All readers of the operation's result have chosen: so does it. */
static void choose_way(struct fuse_search *s, const struct table *table, int number) {
    int out = s->plan->ir->ops.at[number]->out, best = 0;
    int64_t lowest = INT64_MAX;
    for (int i = 0; i < table->n; i++) {
        int64_t time = table->way[i].time_ps;
        time = fuse_sat_add(time, fuse_search_users_ps(s, out, &table->way[i].option.final, -1, lowest - time));
        if (time < lowest) {
            lowest = time;
            best = i;
        }
    }
    fuse_search_adopt(s, number, &table->way[best].partition, &table->way[best].option);
}

static int64_t inputs_of(struct fuse_search *s, int number) {
    const struct fuse_op *op = s->plan->ir->ops.at[number];
    const struct fuse_search_space *space = fuse_search_space_of(s, number);
    return (int64_t)(op->inputs + 1) * fuse_search_candidates(s, number, space);
}

static int64_t all_inputs(struct fuse_search *s) {
    int64_t inputs = 0;
    for (int o = 0; o < s->plan->ir->ops.n; o++)
        inputs += fuse_search_divides(s->plan->ir->ops.at[o]->kind) ? inputs_of(s, o) : 0;
    return inputs;
}

bool fuse_search_has_tree(struct fuse_search *s) {
    const struct fuse_ir *ir = s->plan->ir;
    bool is_read = false;
    for (int o = 0; o < ir->ops.n; o++) {
        if (s->plan->recursion[o] >= 0)
            return false;
        is_read |= fuse_search_divides(ir->ops.at[o]->kind) && readers(s, ir->ops.at[o]->out) > 0;
    }
    return is_read && all_inputs(s) * LEAST_BEAM <= LOOK_UPS;
}

void fuse_search_tree(struct fuse_search *s) {
    const struct fuse_plan *plan = s->plan;
    const struct fuse_ir *ir = plan->ir;
    struct tree t = {.s = s, .inputs = all_inputs(s)};
    t.table = FUSE_NEW_ARRAY(plan->arena, struct table, ir->values.n + 1);
    for (int at = 0; at < ir->ops.n; at++) {
        int number = plan->order[at];
        if (!fuse_search_divides(ir->ops.at[number]->kind))
            continue;
        /* As wide as what is left of the effort allows, were there no limits to what is looked at. */
        int64_t beam = (LOOK_UPS - t.looked_up) / t.inputs;
        fill_table(&t, number, beam > BEAM ? BEAM : beam < LEAST_BEAM ? LEAST_BEAM : (int)beam);
        t.inputs -= inputs_of(s, number);
    }
    for (int at = ir->ops.n - 1; at >= 0; at--) {
        int number = plan->order[at];
        if (fuse_search_divides(ir->ops.at[number]->kind))
            choose_way(s, &t.table[ir->ops.at[number]->out], number);
    }
}
