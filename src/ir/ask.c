/* What is read of the relations that rules derive, and rules that derive it. */
#include "ir/ir.h"

#include "core/demand.h"

struct asking {
    struct fuse_ir *ir;
    int op; /* RULES */
    FUSE_VEC(struct fuse_demand_question) question;
};

/* Fixed positions of a use; sinks read all. */
static void add_question(struct asking *asking, int relation, const struct fuse_op *reader,
                         const struct fuse_use *use) {
    struct fuse_demand_question question = {.relation = relation};
    for (int a = 0; a < use->access.rank; a++) {
        const struct fuse_access_axis *at = &use->access.at[a];
        if (reader->kind != FUSE_OP_JOIN || (at->index >= 0 && reader->extent[at->index] != 1))
            continue;
        question.columns |= (uint64_t)1 << a;
        question.id[a] = at->offset;
    }
    fuse_vec_push(asking->ir->arena, &asking->question, question);
}

/* What other rules read of a relation that they are fed with: their constants. */
static void add_atoms(struct asking *asking, int relation, int reader, int fed) {
    const struct fuse_ir *ir = asking->ir;
    const struct fuse_rules *rules = ir->ops.at[reader]->rules;
    bool is_read = rules->relation[fed].stratum >= 0;
    for (int o = reader + 1; o < ir->ops.n && !is_read; o++)
        is_read = ir->ops.at[o]->kind == FUSE_OP_DERIVED && ir->ops.at[o]->derived == fed &&
                  ir->values.at[ir->ops.at[o]->input[0].value].op == reader;
    if (is_read) { /* and passed on */
        const struct fuse_demand_question all = {.relation = relation};
        fuse_vec_push(ir->arena, &asking->question, all);
    }
    for (int k = 0; k < rules->rules; k++)
        for (int a = 0; a < rules->rule[k].atoms; a++) {
            const struct fuse_rule_atom *atom = &rules->rule[k].atom[a];
            struct fuse_demand_question question = {.relation = relation};
            for (int c = 0; atom->relation == fed && c < rules->relation[fed].columns; c++)
                if (atom->term[c].variable < 0) {
                    question.columns |= (uint64_t)1 << c;
                    question.id[c] = atom->term[c].offset;
                }
            if (atom->relation == fed)
                fuse_vec_push(ir->arena, &asking->question, question);
        }
}

static void find_questions(struct asking *asking) {
    const struct fuse_ir *ir = asking->ir;
    for (int o = asking->op + 1; o < ir->ops.n; o++) {
        const struct fuse_op *derived = ir->ops.at[o];
        if (derived->kind != FUSE_OP_DERIVED || ir->values.at[derived->input[0].value].op != asking->op)
            continue;
        for (int u = o + 1; u < ir->ops.n; u++)
            for (int k = 0; k < ir->ops.at[u]->inputs; k++)
                if (ir->ops.at[u]->input[k].value != derived->out)
                    continue;
                else if (ir->ops.at[u]->kind == FUSE_OP_RULES)
                    add_atoms(asking, derived->derived, u, ir->ops.at[u]->feed[k]);
                else
                    add_question(asking, derived->derived, ir->ops.at[u], &ir->ops.at[u]->input[k]);
    }
}

static int64_t most_tuples(const struct fuse_ir *ir, int value) {
    const struct fuse_value *v = &ir->values.at[value];
    const struct fuse_box whole = fuse_box_full(v->rank, v->extent);
    return fuse_is_derived(ir, value) ? INT64_MAX : fuse_relation_most(ir, value, &whole);
}

static void ask(struct fuse_ir *ir, int number) {
    struct asking asking = {.ir = ir, .op = number};
    struct fuse_op *op = ir->ops.at[number];
    op->rules = fuse_rules_fix(ir->arena, op->rules);
    const int relations = op->rules->relations;
    bool *is_given = FUSE_NEW_ARRAY(ir->arena, bool, relations + 1);
    int64_t *most = FUSE_NEW_ARRAY(ir->arena, int64_t, relations + 1);
    int *given = FUSE_NEW_ARRAY(ir->arena, int, relations + 1), *feed = FUSE_NEW_ARRAY(ir->arena, int, op->inputs + 1);
    for (int k = 0; k < op->inputs; k++) {
        is_given[op->feed[k]] = true;
        most[op->feed[k]] = fuse_sat_add(most[op->feed[k]], most_tuples(ir, op->input[k].value));
    }
    find_questions(&asking);
    const struct fuse_demand demand = {.rules = op->rules,
                                       .question = asking.question.at,
                                       .questions = asking.question.n,
                                       .is_given = is_given,
                                       .most = most};
    op->rules = fuse_rules_demand(ir->arena, &demand, given);
    for (int k = 0; k < op->inputs; k++)
        feed[k] = given[op->feed[k]];
    op->feed = feed;
}

void fuse_ir_ask(struct fuse_ir *ir) {
    for (int o = ir->ops.n - 1; o >= 0; o--) /* who asks comes before who is asked */
        if (ir->ops.at[o]->kind == FUSE_OP_RULES)
            ask(ir, o);
}
