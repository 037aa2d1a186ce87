/* Questions about facts: which relations and rules there are in the plan, and what is asked. */
#include "exec/why.h"

#include "core/text.h"
#include "exec/why_internal.h"

#include <stdlib.h>
#include <time.h>

#define SEARCHED ((int64_t)1 << 19) /* facts, instances and bindings of a wave, backwards from a fact */
#define REPLAYED ((int64_t)1 << 24) /* .. that a fact can rest on, whatever the values are */
#define TRACED ((int64_t)1 << 28)   /* .. of a proof from stages */

/* ---- what there is ---- */

static int rules_behind(const struct fuse_ir *ir, int value) {
    const struct fuse_op *op = ir->ops.at[ir->values.at[value].op];
    return op->kind == FUSE_OP_DERIVED ? ir->values.at[op->input[0].value].op : -1;
}

/* Where the tuples of an input are from: files, or a tensor. */
static void add_sources(struct fuse_text *text, const struct fuse_ir *ir, int value) {
    const struct fuse_op *op = ir->ops.at[ir->values.at[value].op];
    if (op->kind == FUSE_OP_SPARSIFY) {
        add_sources(text, ir, op->input[0].value);
        return;
    }
    for (int k = 0; k < op->inputs && op->kind == FUSE_OP_SOURCE; k++)
        add_sources(text, ir, op->input[k].value);
    const char *name = op->kind == FUSE_OP_SOURCE && op->path ? op->path : ir->values.at[value].name;
    fuse_text_add(text, "%s%s", text->bytes > 0 ? "\n" : "", name ? name : "");
}

static void add_relations(struct fuse_why *why, int o) {
    const int *first = why->first;
    const struct fuse_ir *ir = why->exec->plan->ir;
    const struct fuse_op *op = ir->ops.at[o];
    struct fuse_logic *logic = why->exec->logic[o].rules;
    for (int r = 0; r < op->rules->relations; r++) {
        struct fuse_why_relation *relation = &why->relation[first[o] + r];
        struct fuse_text sources = {.arena = why->whole};
        *relation = (struct fuse_why_relation){
            .rule = &op->rules->relation[r], .at_work = &logic->relation[r], .canonical = first[o] + r, .input = -1};
        for (int k = 0; k < op->inputs; k++) {
            const int behind = rules_behind(ir, op->input[k].value);
            if (op->feed[k] != r)
                continue;
            relation->input = op->input[k].value;
            for (int other = 0; other < first[o] && relation->rule->stratum < 0; other++)
                if (why->relation[other].input == relation->input && why->relation[other].rule->stratum < 0)
                    relation->canonical = why->relation[other].canonical;
            if (behind >= 0 && relation->rule->stratum < 0)
                relation->canonical = first[behind] + ir->ops.at[ir->values.at[op->input[k].value].op]->derived;
            add_sources(&sources, ir, op->input[k].value);
        }
        relation->sources = sources.at;
    }
}

static enum fuse_status count_tuples(struct fuse_why *why, struct fuse_error *err) {
    int64_t *n = FUSE_NEW_ARRAY(why->scratch, int64_t, 2 * why->relations + 1);
    for (int r = 0; r < why->relations; r++) {
        const struct fuse_logic_relation *relation = why->relation[r].at_work;
        n[2 * r] = relation->reach ? 0 : relation->rows.n;
        n[2 * r + 1] = relation->rule->stratum >= 0 ? relation->kept.n : 0;
    }
    FUSE_TRY(why->comm->ops->reduce_int64(why->comm, FUSE_REDUCE_SUM, n, 2 * why->relations, err));
    for (int r = 0; r < why->relations; r++) {
        why->relation[r].total = n[2 * r];
        why->relation[r].given = n[2 * r + 1];
    }
    return FUSE_OK;
}

/* Tuples that an atom is expected to have for one binding of the variables in `bound`. */
static double expected_matches(const struct fuse_why *why, const struct fuse_why_rule *rule, int a, uint64_t bound) {
    const struct fuse_why_relation *relation = fuse_why_of_atom(why, rule, a);
    const struct fuse_rule_atom *atom = &rule->rule->atom[a];
    double matches = (double)relation->total;
    if (!fuse_why_has_rows(relation))
        return fuse_rule_atom_variables(rule->rules, atom) & ~bound ? 1e300 : 1;
    for (int c = 0; c < relation->rule->columns; c++) {
        const int v = atom->term[c].variable;
        if ((v < 0 || (bound >> v & 1)) && relation->rule->extent[c] > 1)
            matches /= (double)relation->rule->extent[c];
    }
    return matches;
}

/* Each time the atom with the fewest matches. */
static void order_atoms(const struct fuse_why *why, struct fuse_why_rule *rule) {
    uint64_t bound = fuse_why_head_variables(why, rule);
    uint32_t done = 0;
    for (int a = 0; a < rule->rule->atoms; a++)
        rule->positives += !rule->rule->atom[a].is_negated;
    for (int k = 0; k < rule->positives; k++) {
        int best = -1;
        double least = 0;
        for (int a = 0; a < rule->rule->atoms; a++) {
            if (rule->rule->atom[a].is_negated || (done >> a & 1))
                continue;
            const double matches = expected_matches(why, rule, a, bound);
            if (best < 0 || matches < least) {
                best = a;
                least = matches;
            }
        }
        rule->order[k] = best;
        done |= (uint32_t)1 << best;
        bound |= fuse_rule_atom_variables(rule->rules, &rule->rule->atom[best]);
    }
}

static void add_rules(struct fuse_why *why, int o, int first) {
    const struct fuse_rules *rules = why->exec->plan->ir->ops.at[o]->rules;
    for (int k = 0; k < rules->rules; k++) {
        struct fuse_why_rule *rule = &why->rule[why->rules++];
        *rule = (struct fuse_why_rule){.rules = rules, .rule = &rules->rule[k], .first_relation = first};
        rule->width = 1 + rules->rule[k].variables + rules->rule[k].atoms;
        order_atoms(why, rule);
    }
}

static bool has_run(const struct fuse_why *why, int o) {
    return why->exec->logic[o].rules && why->exec->logic[o].has_run;
}

/* Collective. Of rules that have run. */
static enum fuse_status survey(struct fuse_why *why, struct fuse_error *err) {
    const struct fuse_ir *ir = why->exec->plan->ir;
    int rules = 0;
    why->relations = why->rules = why->operations = 0;
    why->first = FUSE_NEW_ARRAY(why->whole, int, ir->ops.n + 1);
    for (int o = 0; o < ir->ops.n; o++)
        if (has_run(why, o)) {
            why->operations++;
            why->first[o] = why->relations;
            why->relations += ir->ops.at[o]->rules->relations;
            rules += ir->ops.at[o]->rules->rules;
        }
    why->relation = FUSE_NEW_ARRAY(why->whole, struct fuse_why_relation, why->relations + 1);
    why->rule = FUSE_NEW_ARRAY(why->whole, struct fuse_why_rule, rules + 1);
    for (int o = 0; o < ir->ops.n; o++)
        if (has_run(why, o))
            add_relations(why, o);
    FUSE_TRY(count_tuples(why, err));
    for (int o = 0; o < ir->ops.n; o++)
        if (has_run(why, o))
            add_rules(why, o, why->first[o]);
    for (int r = 0; r < why->relations; r++)
        why->relation[r].square = fuse_why_find_square(why, r);
    return FUSE_OK;
}

/* ---- questions ---- */

static const char *option(const struct fuse_question *question) {
    return question->why_not ? "--why-not" : "--why";
}

static enum fuse_status fail_absent(const struct fuse_question *question, struct fuse_error *err) {
    fuse_fail(err, FUSE_EFAILED, "%s '%s': the fact does not hold", option(question), question->text);
    fuse_hint(err, "--why-not '%s' says what is missing", question->text);
    return FUSE_EFAILED;
}

/* All facts of the question are forgotten. */
static void clear(struct fuse_why *why) {
    fuse_arena_rewind(why->arena, why->begin_of_question);
    memset(&why->facts, 0, sizeof why->facts);
    memset(&why->id, 0, sizeof why->id);
    memset(&why->instances, 0, sizeof why->instances);
    memset(&why->paths, 0, sizeof why->paths);
    memset(&why->premise, 0, sizeof why->premise);
    memset(&why->binding, 0, sizeof why->binding);
    why->head = NULL;
    why->heads = 0;
    why->is_beyond = why->takes_all_values = false;
}

static int ask(struct fuse_why *why, const struct fuse_question *question, int relation,
               const struct fuse_why_lookup *seen) {
    const int fact = fuse_why_ask(why, relation, question->id);
    why->facts.at[fact].value = seen->value;
    return fact;
}

/* From stages where they are kept; else backwards from the fact, and where that is too far, from stages of what that can reach. */
static enum fuse_status prove(bool *found, int *fact, struct fuse_why *why, const struct fuse_question *question,
                              int relation, const struct fuse_why_lookup *seen, struct fuse_error *err) {
    *fact = ask(why, question, relation, seen);
    if (!why->stages) {
        why->most = SEARCHED;
        FUSE_TRY(fuse_why_prove(found, why, *fact, err));
        if (!why->is_beyond)
            return FUSE_OK;
        clear(why);
        FUSE_TRY(fuse_why_count_stages(why, relation, question->id, err));
        *fact = ask(why, question, relation, seen);
    }
    why->most = TRACED;
    enum fuse_status status = fuse_why_trace(found, why, *fact, err);
    if (!why->exec->request->explains_all)
        fuse_why_forget_stages(why);
    return status;
}

static enum fuse_status fail_too_large(const struct fuse_why *why, const struct fuse_question *question,
                                       struct fuse_error *err) {
    fuse_fail(err, FUSE_EFAILED, "%s '%s': the proof is too large: it takes more than %lld facts and rules",
              option(question), question->text, (long long)why->most);
    fuse_hint(err, "ask for a fact that is nearer to the sources");
    return FUSE_EFAILED;
}

static enum fuse_status answer_why(struct fuse_why *why, const struct fuse_question *question, int relation,
                                   const struct fuse_why_lookup *seen, struct fuse_error *err) {
    const bool has_rows = fuse_why_has_rows(&why->relation[relation]);
    bool found = false;
    int fact;
    if (has_rows && !seen->is_there)
        return fail_absent(question, err);
    FUSE_TRY(prove(&found, &fact, why, question, relation, seen, err));
    if (found)
        return fuse_why_print_proof(why, question, fact, err);
    if (why->is_beyond)
        return fail_too_large(why, question, err);
    if (!has_rows)
        return fail_absent(question, err);
    clear(why);
    why->most = REPLAYED;
    why->takes_all_values = true;
    fact = ask(why, question, relation, seen);
    FUSE_TRY(fuse_why_replay(&fact, why, err));
    if (fact >= 0)
        return fuse_why_print_proof(why, question, fact, err);
    if (why->is_beyond)
        return fail_too_large(why, question, err);
    fuse_fail(err, FUSE_EFAILED, "%s '%s': the fact holds, but only by the order in which rules were applied",
              option(question), question->text);
    fuse_hint(err, "somewhere a better value makes a worse one, as in a product with a negative number");
    return FUSE_EFAILED;
}

static enum fuse_status answer_why_not(struct fuse_why *why, const struct fuse_question *question, int relation,
                                       const struct fuse_why_lookup *seen, struct fuse_error *err) {
    struct fuse_why_lack lack;
    if (seen->is_there) {
        fuse_fail(err, FUSE_EFAILED, "%s '%s': the fact holds", option(question), question->text);
        fuse_hint(err, "--why '%s' proves it", question->text);
        return FUSE_EFAILED;
    }
    why->takes_all_values = true; /* stages lack what only bettered values prove */
    FUSE_TRY(fuse_why_find_lack(&lack, why, relation, question->id, err));
    return fuse_why_print_lack(why, question, relation, &lack, err);
}

static enum fuse_status answer(struct fuse_why *why, const struct fuse_question *question, const struct fuse_op *op,
                               struct fuse_error *err) {
    const struct fuse_ir *ir = why->exec->plan->ir;
    const struct fuse_op *derived = ir->ops.at[ir->values.at[op->input[0].value].op];
    struct fuse_why_lookup seen;
    const int first = why->first[ir->values.at[derived->input[0].value].op];
    const int relation = why->relation[first + derived->derived].canonical;
    const int columns = why->relation[relation].rule->columns;
    struct fuse_run ids = {.words = columns + 1};
    if (!fuse_run_reserve(&ids, &why->ledger, 1))
        fuse_comm_abort(why->comm, FUSE_EMEMORY); /* peers are in the schedule */
    memcpy(fuse_run_row(&ids, ids.n++), question->id, (size_t)columns * sizeof *question->id);
    fuse_why_look(why, relation, &ids, &seen);
    fuse_run_close(&ids, &why->ledger);
    *err = why->error;
    FUSE_TRY(fuse_agree(why->comm, why->status, err));
    return question->why_not ? answer_why_not(why, question, relation, &seen, err)
                             : answer_why(why, question, relation, &seen, err);
}

/* ---- from question to question ---- */

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void close_relations(struct fuse_why *why) {
    fuse_why_forget_stages(why);
    for (int r = 0; r < why->relations; r++) {
        for (struct fuse_why_index *index = why->relation[r].index; index; index = index->next)
            if (index->is_made)
                fuse_index_close(&index->index, &why->ledger);
        for (int k = 0; k < FUSE_WHY_PARTS; k++)
            fuse_run_close(&why->relation[r].copy[k].rows, &why->ledger);
    }
}

void fuse_exec_why_close(struct fuse_exec *exec) {
    struct fuse_why *why = exec->why;
    if (!why)
        return;
    close_relations(why);
    fuse_arena_close(why->scratch);
    fuse_arena_close(why->arena);
    fuse_arena_close(why->whole);
    free(why);
    exec->why = NULL;
}

static struct fuse_why *open_why(struct fuse_exec *exec) {
    struct fuse_why *why = calloc(1, sizeof *why);
    if (!why)
        fuse_comm_abort(exec->comm, FUSE_EMEMORY);
    *why = (struct fuse_why){.exec = exec, .comm = exec->comm};
    why->whole = fuse_arena_open(NULL);
    why->arena = fuse_arena_open(NULL);
    why->scratch = fuse_arena_open(NULL);
    if (!why->whole || !why->arena || !why->scratch)
        fuse_comm_abort(exec->comm, FUSE_EMEMORY);
    why->begin = fuse_arena_mark(why->whole);
    why->begin_of_question = fuse_arena_mark(why->arena);
    return why;
}

/* Collective. What there is to look into. */
static enum fuse_status make_ready(struct fuse_exec *exec, struct fuse_error *err) {
    int operations = 0;
    if (!exec->why)
        exec->why = open_why(exec);
    struct fuse_why *why = exec->why;
    for (int o = 0; o < exec->plan->ir->ops.n; o++)
        operations += has_run(why, o);
    clear(why);
    if (operations == why->operations)
        return FUSE_OK;
    close_relations(why);
    fuse_arena_rewind(why->whole, why->begin);
    FUSE_TRY(survey(why, err));
    if (!exec->request->explains_all)
        return FUSE_OK;
    const double start = now();
    FUSE_TRY(fuse_why_count_stages(why, -1, NULL, err));
    fuse_why_prepare(why);
    *err = why->error;
    exec->stage_seconds += now() - start;
    return fuse_agree(why->comm, why->status, err);
}

enum fuse_status fuse_exec_why(struct fuse_exec *exec, const struct fuse_op *op, struct fuse_error *err) {
    FUSE_TRY(make_ready(exec, err));
    const double start = now();
    enum fuse_status status = answer(exec->why, &exec->request->question[op->asks - 1], op, err);
    if (status == FUSE_EFAILED)
        err->rank = -1; /* it is everybody's answer */
    exec->answer_seconds += now() - start;
    return status;
}
