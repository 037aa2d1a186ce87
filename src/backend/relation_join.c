#include "backend/relation_join.h"

static const uint64_t zero_row[FUSE_RULE_WORDS];

/* ---- scalars ---- */

static union fuse_scalar_value load(struct fuse_pipeline_run *run, const struct fuse_scalar_node *node) {
    enum fuse_dtype from = run->value_dtype[node->arg];
    union fuse_scalar_value value = run->value[node->arg];
    if (from == node->dtype)
        return value;
    const struct fuse_scalar_node cast = {.op = FUSE_SCALAR_CAST, .dtype = node->dtype};
    return fuse_scalar_eval(&cast, from, value, value, value, &run->overflow);
}

static union fuse_scalar_value evaluate(struct fuse_pipeline_run *run, const struct fuse_scalar *scalar) {
    union fuse_scalar_value *at = run->node;
    const union fuse_scalar_value none = {0};
    for (int i = 0; i < scalar->n; i++) {
        const struct fuse_scalar_node *node = &scalar->node[i];
        const int a = node->a, b = node->b, c = node->c;
        if (node->op == FUSE_SCALAR_LOAD)
            at[i] = load(run, node);
        else if (node->op == FUSE_SCALAR_IOTA)
            at[i].integer = run->bind[node->arg];
        else if (node->op == FUSE_SCALAR_ADD && node->dtype == FUSE_F64)
            at[i].real = at[a].real + at[b].real;
        else
            at[i] = fuse_scalar_eval(node, a >= 0 ? scalar->node[a].dtype : node->dtype, a >= 0 ? at[a] : none,
                                     b >= 0 ? at[b] : none, c >= 0 ? at[c] : none, &run->overflow);
    }
    return at[scalar->n - 1];
}

static bool pass_test(struct fuse_pipeline_run *run, const struct fuse_pipeline_test *test) {
    if (test->scalar)
        return evaluate(run, test->scalar).integer != 0;
    int64_t a = run->bind[test->a], b = test->b < 0 ? test->constant : run->bind[test->b];
    switch (test->op) {
    case FUSE_SCALAR_LT: return a < b;
    case FUSE_SCALAR_LE: return a <= b;
    case FUSE_SCALAR_EQ: return a == b;
    default: return a != b;
    }
}

/* ---- rows ---- */

static inline bool write_part(const struct fuse_pipeline_run *run, const struct fuse_pipeline_part *part,
                              uint64_t *row) {
    int64_t id = part->variable < 0 ? part->offset : run->bind[part->variable] + part->offset;
    row[part->word] |= (uint64_t)id << part->shift;
    return (uint64_t)id < (uint64_t)part->extent;
}

static inline bool write_parts(const struct fuse_pipeline_run *run, const struct fuse_pipeline_part *part, int parts,
                               uint64_t *row) {
    bool is_inside = true;
    for (int p = 0; p < parts; p++)
        is_inside &= write_part(run, &part[p], row);
    return is_inside;
}

static inline bool read_row(struct fuse_pipeline_run *run, const struct fuse_pipeline_level *level,
                            const uint64_t *row) {
    for (int t = 0; t < level->takes; t++) {
        const struct fuse_pipeline_take *take = &level->take[t];
        int64_t id = (int64_t)(row[take->word] >> take->shift & take->mask) - take->offset;
        if (take->variable < 0) {
            if (id != 0)
                return false;
            continue;
        }
        if ((uint64_t)id >= (uint64_t)take->extent || (take->is_test && run->bind[take->variable] != id))
            return false;
        run->bind[take->variable] = id;
    }
    for (int v = 0; v < level->values; v++)
        run->value[level->value[v].atom].integer = (int64_t)row[level->value[v].word];
    return true;
}

/* What the next key of a level is; false when there cannot be such a row. */
static inline bool write_key(const struct fuse_pipeline_run *run, const struct fuse_pipeline_level *level,
                             uint64_t key[FUSE_RULE_WORDS]) {
    for (int w = 0; w < level->index->keys; w++)
        key[w] = 0;
    return write_parts(run, level->part, level->parts, key);
}

static void open_level(struct fuse_pipeline_run *run) {
    const struct fuse_pipeline_level *level = &run->pipeline->level[run->level];
    struct fuse_pipeline_cursor *cursor = &run->cursor[run->level];
    uint64_t key[FUSE_RULE_WORDS];
    *cursor = (struct fuse_pipeline_cursor){0};
    if (level->kind == FUSE_PIPELINE_IDS) {
        cursor->next = level->begin;
        cursor->n = level->end;
        return;
    }
    struct fuse_list list = {0};
    if (write_key(run, level, key))
        list = fuse_index_find(level->index, key);
    if (level->kind == FUSE_PIPELINE_ABSENT)
        cursor->n = list.n == 0;
    else {
        cursor->at = list.at;
        cursor->n = list.n;
    }
}

/* Rows of level 0 that come soon: where their keys lead to. */
static void look_ahead(struct fuse_pipeline_run *run, const struct fuse_pipeline_cursor *cursor) {
    const struct fuse_pipeline_level *first = &run->pipeline->level[0], *second = first + 1;
    for (int far = 0; far < 2; far++) {
        const int64_t at = cursor->next + (far ? 16 : 8);
        if (at >= cursor->n)
            continue;
        const uint64_t *row = (const uint64_t *)cursor->at + at * first->words;
        uint64_t key[FUSE_RULE_WORDS] = {0};
        bool is_inside = true;
        for (int p = 0; p < second->parts; p++) {
            const struct fuse_pipeline_part *part = &second->part[p];
            int64_t id = part->offset;
            if (part->variable >= 0) {
                const struct fuse_pipeline_take *take = first->take;
                while (take->variable != part->variable)
                    take++;
                id += (int64_t)(row[take->word] >> take->shift & take->mask) - take->offset;
            }
            is_inside &= (uint64_t)id < (uint64_t)part->extent;
            key[part->word] |= (uint64_t)id << part->shift;
        }
        if (is_inside)
            fuse_index_prefetch(second->index, key, !far);
    }
}

static bool can_look_ahead(const struct fuse_pipeline *pipeline) {
    if (pipeline->levels < 2 || pipeline->level[0].kind != FUSE_PIPELINE_ROWS ||
        (pipeline->level[1].kind != FUSE_PIPELINE_FIND && pipeline->level[1].kind != FUSE_PIPELINE_ABSENT))
        return false;
    for (int p = 0; p < pipeline->level[1].parts; p++) {
        bool found = pipeline->level[1].part[p].variable < 0;
        for (int t = 0; t < pipeline->level[0].takes; t++)
            found |= pipeline->level[0].take[t].variable == pipeline->level[1].part[p].variable;
        if (!found)
            return false;
    }
    return true;
}

/* Next row of the level; false when it has none that passes. */
static bool advance(struct fuse_pipeline_run *run) {
    const struct fuse_pipeline_level *level = &run->pipeline->level[run->level];
    struct fuse_pipeline_cursor *cursor = &run->cursor[run->level];
    while (cursor->next < cursor->n) {
        const int64_t at = cursor->next++;
        bool pass = true;
        if (level->kind == FUSE_PIPELINE_ROWS) {
            if (run->ahead)
                look_ahead(run, cursor);
            pass = read_row(run, level, (const uint64_t *)cursor->at + at * level->words);
        } else if (level->kind == FUSE_PIPELINE_IDS)
            run->bind[level->variable] = at;
        else if (level->kind == FUSE_PIPELINE_FIND) {
            uint64_t narrow;
            const uint64_t *row = zero_row;
            if (level->index->is_narrow) {
                narrow = ((const uint32_t *)cursor->at)[at];
                row = &narrow;
            } else if (cursor->at)
                row = (const uint64_t *)cursor->at + at * level->index->words;
            pass = read_row(run, level, row);
        }
        for (int t = 0; pass && t < level->tests; t++)
            pass = pass_test(run, &level->test[t]);
        if (pass)
            return true;
    }
    return false;
}

/* ---- output ---- */

static enum fuse_pipeline_end flush(struct fuse_pipeline_run *run) {
    int n = run->n;
    run->n = 0;
    run->derived += n;
    return n > 0 ? run->sink(run->context, run->batch, n) : FUSE_PIPELINE_DONE;
}

static void emit(struct fuse_pipeline_run *run) {
    const struct fuse_pipeline *pipeline = run->pipeline;
    uint64_t *row = run->batch + run->n * pipeline->words;
    for (int w = 0; w < pipeline->words; w++)
        row[w] = 0;
    if (!write_parts(run, pipeline->part, pipeline->parts, row))
        return;
    for (int v = 0; v < pipeline->values; v++) {
        const struct fuse_pipeline_output *output = &pipeline->output[v];
        union fuse_scalar_value value = output->atom >= 0 ? run->value[output->atom] : evaluate(run, output->scalar);
        row[output->word] = (uint64_t)value.integer;
    }
    run->n++;
}

/* Whether every row of the last level gives an output row that differs in one id, which it has alone. */
static bool is_direct(const struct fuse_pipeline *pipeline) {
    const struct fuse_pipeline_level *last = &pipeline->level[pipeline->levels - 1];
    if (pipeline->levels < 2 || last->kind != FUSE_PIPELINE_FIND || last->takes != 1 || last->values > 0 ||
        last->tests > 0 || last->index->words != 1 || pipeline->words != 1 || pipeline->values > 0 ||
        pipeline->resume != pipeline->levels - 1)
        return false;
    const struct fuse_pipeline_take *take = last->take;
    int uses = 0;
    bool is_inside = take->variable >= 0 && take->is_sure && take->offset == 0 && take->shift == 0 && !take->is_test;
    for (int p = 0; p < pipeline->parts; p++)
        if (pipeline->part[p].variable == take->variable) {
            uses++;
            is_inside &= pipeline->part[p].offset == 0 && pipeline->part[p].extent == take->extent;
        }
    /* Whatever the row holds is then a valid id. */
    return is_inside && uses == 1;
}

static enum fuse_pipeline_end emit_list(struct fuse_pipeline_run *run) {
    const struct fuse_pipeline *pipeline = run->pipeline;
    const struct fuse_pipeline_level *level = &pipeline->level[run->level];
    struct fuse_pipeline_cursor *cursor = &run->cursor[run->level];
    uint64_t base = 0;
    int shift = 0;
    bool is_inside = true;
    for (int p = 0; p < pipeline->parts; p++)
        if (pipeline->part[p].variable == level->take[0].variable)
            shift = pipeline->part[p].shift;
        else
            is_inside &= write_part(run, &pipeline->part[p], &base);
    while (is_inside && cursor->next < cursor->n) {
        int64_t n = cursor->n - cursor->next;
        if (n > FUSE_PIPELINE_BATCH - run->n)
            n = FUSE_PIPELINE_BATCH - run->n;
        uint64_t *out = run->batch + run->n;
        if (level->index->is_narrow) {
            const uint32_t *row = (const uint32_t *)cursor->at + cursor->next;
            for (int64_t i = 0; i < n; i++)
                out[i] = base | (uint64_t)row[i] << shift;
        } else {
            const uint64_t *row = (const uint64_t *)cursor->at + cursor->next;
            for (int64_t i = 0; i < n; i++)
                out[i] = base | row[i] << shift;
        }
        cursor->next += n;
        run->n += (int)n;
        if (run->n == FUSE_PIPELINE_BATCH) {
            enum fuse_pipeline_end end = flush(run);
            if (end != FUSE_PIPELINE_DONE)
                return end;
        }
    }
    cursor->next = cursor->n;
    return FUSE_PIPELINE_DONE;
}

/* ---- running ---- */

void fuse_pipeline_open(struct fuse_pipeline_run *run, const struct fuse_pipeline *pipeline, struct fuse_arena *arena) {
    *run = (struct fuse_pipeline_run){.pipeline = pipeline, .level = -1};
    run->cursor = FUSE_NEW_ARRAY(arena, struct fuse_pipeline_cursor, pipeline->levels);
    run->batch = FUSE_NEW_ARRAY(arena, uint64_t, (pipeline->words > 0 ? pipeline->words : 1) * FUSE_PIPELINE_BATCH);
    run->node = FUSE_NEW_ARRAY(arena, union fuse_scalar_value, pipeline->scalar_nodes + 1);
    run->ahead = can_look_ahead(pipeline);
    run->direct = !pipeline->moves && is_direct(pipeline);
    for (int a = 0; a < FUSE_RULE_ATOMS; a++) {
        run->value[a].integer = 1; /* facts are true */
        run->value_dtype[a] = FUSE_I64;
    }
    for (int l = 0; l < pipeline->levels; l++)
        for (int v = 0; v < pipeline->level[l].values; v++)
            run->value_dtype[pipeline->level[l].value[v].atom] = pipeline->level[l].value[v].dtype;
}

void fuse_pipeline_feed(struct fuse_pipeline_run *run, const uint64_t *rows, int64_t n) {
    run->cursor[0] = (struct fuse_pipeline_cursor){.at = (const char *)rows, .n = n};
    run->level = n > 0 ? 0 : -1;
}

static enum fuse_pipeline_end move_rows(struct fuse_pipeline_run *run) {
    struct fuse_pipeline_cursor *cursor = &run->cursor[0];
    const int words = run->pipeline->words;
    while (cursor->next < cursor->n) {
        int64_t n = cursor->n - cursor->next;
        n = n < FUSE_PIPELINE_BATCH ? n : FUSE_PIPELINE_BATCH;
        enum fuse_pipeline_end end = run->sink(run->context, (const uint64_t *)cursor->at + cursor->next * words, n);
        cursor->next += n;
        if (end != FUSE_PIPELINE_DONE)
            return end;
    }
    run->level = -1;
    return FUSE_PIPELINE_DONE;
}

enum fuse_pipeline_end fuse_pipeline_work(struct fuse_pipeline_run *run) {
    const int last = run->pipeline->levels - 1;
    if (run->pipeline->moves)
        return run->level < 0 ? FUSE_PIPELINE_DONE : move_rows(run);
    while (run->level >= 0) {
        if (run->direct && run->level == last) {
            enum fuse_pipeline_end end = emit_list(run);
            if (end != FUSE_PIPELINE_DONE)
                return end;
            run->level--;
            continue;
        }
        if (!advance(run)) {
            run->level--;
            continue;
        }
        if (run->level < last) {
            run->level++;
            open_level(run);
            continue;
        }
        emit(run);
        run->level = run->pipeline->resume;
        if (run->n == FUSE_PIPELINE_BATCH) {
            enum fuse_pipeline_end end = flush(run);
            if (end != FUSE_PIPELINE_DONE)
                return end;
        }
    }
    return flush(run) == FUSE_PIPELINE_FAILED ? FUSE_PIPELINE_FAILED : FUSE_PIPELINE_DONE;
}
