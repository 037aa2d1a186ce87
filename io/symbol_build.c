/* Symbols become ids in five passes of messages.
 *
 *   1  every rank reads its ranges of the files; each symbol that it meets for the first time goes, with the place where it
 *      stood, to the rank that owns it, which keeps the first place of all
 *   2  owners tell who sent a symbol whether his place is the first
 *   3  a rank numbers those of its symbols that are: it has them in the order of their places, and sums over the ranks tell
 *      how many come before; owners get the ids
 *   4  and give them to all who asked
 *   5  names go from their owners to the shelves that they are looked up on
 *
 * A place is one number: files follow each other, with lists of names and vocabularies in front and constants
 * behind. A vocabulary has the ids of its symbols; the others of its table come behind the largest of them. */
#include "io/symbol_builder.h"
#include "io/tally_join.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static enum fuse_status no_memory(struct fuse_error *err) {
    return fuse_fail(err, FUSE_EMEMORY, "no memory for symbols");
}

/* ---- 2 to 4: answers in the order of the questions ---- */

struct stream {
    size_t bytes; /* of an item */
    int64_t (*count)(const struct fuse_symbol_builder *b, int to);
    void (*give)(struct fuse_symbol_builder *b, int to, int64_t i, void *item);
    void (*take)(struct fuse_symbol_builder *b, int from, int64_t i, const void *item);
};

/* Collective. */
static enum fuse_status flow(struct fuse_symbol_builder *b, const struct stream *stream) {
    int ranks = b->comm->size;
    int64_t *given = calloc(2 * (size_t)ranks, sizeof *given), *taken = given ? given + ranks : NULL;
    enum fuse_status st = fuse_agree(b->comm, given ? FUSE_OK : no_memory(b->err), b->err);
    for (bool more = true; more && st == FUSE_OK;) {
        more = false;
        for (int to = 0; to < ranks; to++) {
            int64_t count = stream->count(b, to);
            while (given[to] < count && fuse_deal_room(&b->deal, to) >= stream->bytes) {
                stream->give(b, to, given[to], fuse_deal_put(&b->deal, to, stream->bytes));
                given[to]++;
            }
            more |= given[to] < count;
        }
        st = fuse_deal_round(&b->deal, &more, b->err);
        for (int from = 0; from < ranks && st == FUSE_OK; from++) {
            const char *at = fuse_deal_from(&b->deal, from), *end = at + b->deal.received[from];
            for (; at < end; at += stream->bytes)
                stream->take(b, from, taken[from]++, at);
        }
    }
    free(given);
    return st;
}

static int64_t count_questions(const struct fuse_symbol_builder *b, int to) {
    return b->question[to].n;
}

static const struct fuse_symbol_owned *asked_for(const struct fuse_symbol_builder *b, int rank, int64_t i) {
    return &b->owned[b->question[rank].own[i]];
}

static bool is_first(const struct fuse_symbol_builder *b, int rank, int64_t i) {
    const struct fuse_symbol_owned *owned = asked_for(b, rank, i);
    return owned->rank == (uint32_t)rank && owned->question == (uint32_t)i;
}

static void give_flag(struct fuse_symbol_builder *b, int to, int64_t i, void *item) {
    *(char *)item = is_first(b, to, i);
}

static void take_flag(struct fuse_symbol_builder *b, int from, int64_t i, const void *item) {
    b->sent[b->order[b->begin[from] + i]].is_first = *(const char *)item;
}

static int64_t count_firsts(const struct fuse_symbol_builder *b, int to) {
    return b->first_begin[to + 1] - b->first_begin[to];
}

static void give_id(struct fuse_symbol_builder *b, int to, int64_t i, void *item) {
    memcpy(item, &b->id[b->firsts[b->first_begin[to] + i]], sizeof *b->id);
}

/* By now `question` has those that are first only. */
static void take_id(struct fuse_symbol_builder *b, int from, int64_t i, const void *item) {
    memcpy(&b->owned[b->question[from].own[b->question[from].room + i]].id, item, sizeof *b->id);
}

static void give_answer(struct fuse_symbol_builder *b, int to, int64_t i, void *item) {
    memcpy(item, &asked_for(b, to, i)->id, sizeof *b->id);
}

static void take_answer(struct fuse_symbol_builder *b, int from, int64_t i, const void *item) {
    memcpy(&b->id[b->order[b->begin[from] + i]], item, sizeof *b->id);
}

static const struct stream flags = {1, count_questions, give_flag, take_flag};
static const struct stream ids = {sizeof(uint32_t), count_firsts, give_id, take_id};
static const struct stream answers = {sizeof(uint32_t), count_questions, give_answer, take_answer};

/* What was sent, or the firsts of it, owner by owner. */
static void order_sent(struct fuse_symbol_builder *b, int64_t *begin, uint32_t *order, bool firsts) {
    int ranks = b->comm->size;
    memset(begin, 0, ((size_t)ranks + 1) * sizeof *begin);
    for (int64_t k = 0; k < b->sents; k++)
        if (!firsts || b->sent[k].is_first)
            begin[b->sent[k].owner]++;
    for (int64_t r = 0, n = 0; r <= ranks; r++) {
        int64_t count = begin[r];
        begin[r] = n;
        n += count;
    }
    for (int64_t k = 0; k < b->sents; k++)
        if (!firsts || b->sent[k].is_first)
            order[begin[b->sent[k].owner]++] = (uint32_t)k;
    memmove(begin + 1, begin, (size_t)ranks * sizeof *begin);
    begin[0] = 0;
}

/* Appends to each rank's questions those that are first. */
static enum fuse_status list_first_questions(struct fuse_symbol_builder *b) {
    for (int rank = 0; rank < b->comm->size; rank++) {
        struct fuse_symbol_questions *q = &b->question[rank];
        int64_t firsts = 0;
        for (int64_t i = 0; i < q->n; i++)
            firsts += is_first(b, rank, i);
        uint32_t *larger = realloc(q->own, (size_t)(q->n + firsts + 1) * sizeof *larger);
        if (!larger)
            return no_memory(b->err);
        q->own = larger;
        q->room = q->n;
        for (int64_t i = 0, n = q->n; i < q->n; i++)
            if (is_first(b, rank, i))
                q->own[n++] = q->own[i];
    }
    return FUSE_OK;
}

/* ---- 3: numbers ---- */

/* Collective: a table's ids of the symbols that stand first in a part. */
static enum fuse_status number_table(struct fuse_symbol_builder *b, int p, int table) {
    int64_t mine = 0, before, all, end = p < b->parts ? b->part[p + 1].first : b->sents;
    for (int64_t k = b->part[p].first; k < end; k++)
        mine += b->sent[k].is_first && b->sent[k].table == table;
    const struct fuse_symbol_part *part = &b->part[p];
    if (part->vocabulary) {
        for (int64_t k = part->first; k < end; k++)
            b->id[k] = part->id[k - part->first];
        b->count[table] = part->vocabulary->end > b->count[table] ? part->vocabulary->end : b->count[table];
        b->symbols->shelf[table].given = b->count[table];
        return FUSE_OK;
    }
    FUSE_TRY(fuse_sum_before(&before, &all, b->comm, mine, b->err));
    int64_t id = b->count[table] + before;
    b->count[table] += all;
    if (b->count[table] > UINT32_MAX)
        return fuse_fail(b->err, FUSE_EFAILED, "a table of more than 2^32 symbols");
    for (int64_t k = b->part[p].first; k < end; k++)
        if (b->sent[k].is_first && b->sent[k].table == table)
            b->id[k] = (uint32_t)id++;
    return FUSE_OK;
}

static bool has_table(const struct fuse_symbol_builder *b, int p, int table) {
    const struct fuse_symbol_part *part = &b->part[p];
    if (p == b->parts) {
        for (int k = 0; k < b->want->constants; k++)
            if (b->want->constant[k].table == table)
                return true;
        return false;
    }
    if (!part->kept)
        return part->table[0] == table;
    for (int c = 0; c < part->kept->columns; c++)
        if (part->table[c] == table)
            return true;
    return false;
}

/* Collective. */
static enum fuse_status number(struct fuse_symbol_builder *b) {
    for (int p = 0; p <= b->parts; p++)
        for (int t = 0; t < b->want->tables; t++)
            if (has_table(b, p, t))
                FUSE_TRY(number_table(b, p, t));
    return FUSE_OK;
}

/* ---- lists of names ---- */

/* Where this rank has a name that stands twice, or a symbol that is none of the names; INT64_MAX: nowhere. */
static int64_t find_fault(const struct fuse_symbol_builder *b) {
    int64_t fault = INT64_MAX;
    for (int p = 0; p < b->parts; p++)
        fault = b->part[p].fault_place < fault ? b->part[p].fault_place : fault;
    for (int p = 0; p < b->parts; p++)
        for (int64_t k = b->part[p].first; k < b->part[p + 1].first; k++) {
            const struct fuse_symbol_sent *sent = &b->sent[k];
            bool has_names = b->want->names[sent->table].path != NULL;
            if (has_names && sent->is_first != (b->part[p].names_of >= 0) && sent->place < fault)
                fault = sent->place;
        }
    return fault;
}

/* Reads up to the place once more, to say what stands there. */
static enum fuse_status explain_fault(struct fuse_symbol_builder *b, int64_t place) {
    int p = 0;
    while (b->part[p + 1].base <= place)
        p++;
    struct fuse_symbol_part *part = &b->part[p];
    struct fuse_field_source *source = NULL;
    int64_t line = part->before, at = place - part->base;
    int row = -1;
    FUSE_TRY(fuse_symbols_open_part(b, &source, part));
    enum fuse_status st = FUSE_OK;
    while (row < 0 && st == FUSE_OK) {
        st = part->format->fields_next(source, &b->fields, b->err);
        int n = b->fields.n;
        if (st != FUSE_OK || n == 0)
            break;
        for (row = n - 1; row >= 0 && b->fields.begin[row] > at;)
            row--;
        bool is_behind = row == n - 1 && b->fields.begin[row] + b->fields.columns <= at;
        line += is_behind ? n : row + 1;
        row = is_behind ? -1 : row;
    }
    if (st == FUSE_OK && row < 0)
        st = fuse_fail(b->err, FUSE_EINPUT, "%s changed while it was read", part->path);
    if (st == FUSE_OK) {
        int c = (int)(at - b->fields.begin[row]);
        const struct fuse_field *field = &b->fields.field[c][row];
        int shown = field->bytes < 100 ? (int)field->bytes : 100;
        if (part->names_of >= 0) {
            st = fuse_fail(b->err, FUSE_EINPUT, "%s:%" PRId64 ": the name '%.*s' stands twice", part->path, line, shown,
                           field->at);
            fuse_hint(b->err, "an axis has each name once, one a line");
        } else {
            st = fuse_fail(b->err, FUSE_EINPUT, "%s:%" PRId64 ":%td: the symbol '%.*s' is not in %s", part->path, line,
                           field->at - b->fields.text[row] + 1, shown, field->at, b->want->names[part->table[c]].path);
            fuse_hint(b->err, "an axis that is declared with a list of names has those and no others");
        }
    }
    part->format->fields_close(source);
    return st;
}

/* Collective. */
static enum fuse_status check_names(struct fuse_symbol_builder *b) {
    int64_t mine = find_fault(b), first = mine;
    FUSE_TRY(b->comm->ops->reduce_int64(b->comm, FUSE_REDUCE_MIN, &first, 1, b->err));
    if (first == INT64_MAX)
        return FUSE_OK;
    return fuse_agree(b->comm, mine == first ? explain_fault(b, mine) : FUSE_OK, b->err);
}

/* ---- vocabularies ---- */

/* Local. What the vocabularies of one table say must agree, with each other and with it. */
static enum fuse_status check_table(const struct fuse_symbol_builder *b, int table,
                                    const struct fuse_vocabulary **vocabulary) {
    int n = 0;
    for (int p = 0; p < b->parts; p++) {
        const struct fuse_symbol_part *part = &b->part[p];
        bool is_known = !part->vocabulary || part->table[0] != table;
        for (int k = 0; k < n && !is_known; k++)
            is_known = strcmp(vocabulary[k]->path, part->path) == 0;
        if (!is_known)
            vocabulary[n++] = part->vocabulary;
    }
    if (n > 0 && b->want->names[table].path) {
        fuse_fail(b->err, FUSE_EINPUT, "%s: this vocabulary is of an axis that has a list of names, %s",
                  vocabulary[0]->path, b->want->names[table].path);
        fuse_hint(b->err, "one of the two says which ids tokens have: leave the declaration or the vocabulary out");
        return FUSE_EINPUT;
    }
    return n > 1 && b->comm->rank == 0 ? fuse_vocabulary_agree(vocabulary, n, b->err) : FUSE_OK;
}

/* Collective. */
static enum fuse_status check_vocabularies(struct fuse_symbol_builder *b) {
    const struct fuse_vocabulary **vocabulary = malloc(((size_t)b->parts + 1) * sizeof *vocabulary);
    enum fuse_status st = vocabulary ? FUSE_OK : no_memory(b->err);
    for (int t = 0; t < b->want->tables && st == FUSE_OK; t++)
        st = check_table(b, t, vocabulary);
    free(vocabulary);
    return fuse_agree(b->comm, st, b->err);
}

/* ---- 5: shelves ---- */

struct named {
    uint32_t id, table, bytes; /* the text follows */
};

static enum fuse_status take_names(struct fuse_symbol_builder *b) {
    for (int rank = 0; rank < b->comm->size; rank++) {
        const char *at = fuse_deal_from(&b->deal, rank), *end = at + b->deal.received[rank];
        while (at < end) {
            struct named named;
            memcpy(&named, at, sizeof named);
            at += sizeof named;
            FUSE_TRY(fuse_symbols_put(b->symbols, (int)named.table, named.id, at, named.bytes, b->err));
            at += named.bytes;
        }
    }
    return FUSE_OK;
}

/* Collective. */
static enum fuse_status fill_shelves(struct fuse_symbol_builder *b) {
    struct fuse_symbol_key key;
    size_t at = 0, next = 0;
    uint32_t own = 0;
    enum fuse_status st = fuse_symbols_make_shelves(b->symbols, b->comm, b->count, b->err);
    FUSE_TRY(fuse_agree(b->comm, st, b->err));
    for (bool more = true; more;) {
        more = false;
        for (; fuse_dictionary_each(&b->own, &next, &key); at = next, own++) {
            struct named named = {b->owned[own].id, key.table, key.bytes};
            int holder = fuse_symbols_holder(b->comm, b->count[key.table], named.id);
            char *to = fuse_deal_put(&b->deal, holder, sizeof named + key.bytes);
            if (!to) {
                next = at;
                more = true;
                break;
            }
            memcpy(to, &named, sizeof named);
            memcpy(to + sizeof named, key.text, key.bytes);
        }
        FUSE_TRY(fuse_deal_round(&b->deal, &more, b->err));
        if (st == FUSE_OK)
            st = take_names(b);
    }
    return fuse_agree(b->comm, st, b->err);
}

/* ---- rows ---- */

/* The ids of a file's rows in the place of the numbers of its symbols, and what they count up to. */
static void number_rows(struct fuse_symbol_builder *b, struct fuse_kept_rows *kept, struct fuse_tally_part *tally) {
    enum { BATCH = 512 };
    int64_t store[FUSE_MAX_AXES][BATCH] = {{0}}; /* 0 for values */
    const int64_t *id[FUSE_MAX_AXES];
    for (int c = 0; c < FUSE_MAX_AXES; c++)
        id[c] = store[c];
    for (int64_t k = 0; k < kept->blocks; k++) {
        struct fuse_kept_place at;
        int rows;
        fuse_kept_rows_block(kept, &at, &rows, k);
        for (int from = 0, n; from < rows; from += n) {
            n = rows - from < BATCH ? rows - from : BATCH;
            for (int c = 0; c < kept->columns; c++)
                if (kept->is_symbolic[c])
                    for (int i = 0; i < n; i++)
                        store[c][i] = at.symbol[c][from + i] = b->id[at.symbol[c][from + i]];
                else
                    memcpy(store[c], at.id[c] + from, (size_t)n * sizeof **store);
            fuse_tally_add_rows(tally, id, n, tally->rows);
        }
    }
}

/* Collective. */
static enum fuse_status count_file(struct fuse_symbol_builder *b, int f, struct fuse_arena *arena) {
    struct fuse_symbol_file *file = &b->want->file[f];
    const struct fuse_tally *text = file->probe->tally;
    struct fuse_symbol_part *part = &b->part[b->parts - b->want->files + f];
    enum fuse_column_kind kind[FUSE_MAX_AXES] = {FUSE_COLUMN_IDS};
    struct fuse_tally_part tally;
    fuse_tally_open(&tally, arena, file->columns + file->has_value);
    if (file->has_value)
        kind[file->columns] = text->last;
    number_rows(b, part->kept, &tally);
    FUSE_TRY(fuse_tally_join(&tally, part->before, b->comm, b->err));
    struct fuse_tally *counted = fuse_tally_finish(&tally, arena, kind, file->has_value ? text->last_not_id : -1);
    if (counted->rows == 0)
        counted->columns = 0;
    file->tally = counted;
    file->rows = part->kept;
    return FUSE_OK;
}

/* Collective: rank 0 has their ids. */
static enum fuse_status name_constants(struct fuse_symbol_builder *b) {
    int n = b->want->constants;
    if (n == 0)
        return FUSE_OK;
    for (int k = 0; k < n && b->comm->rank == 0; k++) {
        const struct fuse_symbol_sent *sent = &b->sent[b->constant[k]];
        bool has_names = b->want->names[sent->table].path != NULL;
        bool is_behind = sent->place >= b->part[b->parts].base;
        b->constant[k] = 2 * (int64_t)b->id[b->constant[k]] + (has_names && is_behind && sent->is_first);
    }
    FUSE_TRY(b->comm->ops->broadcast(b->comm, b->constant, (size_t)n * sizeof *b->constant, 0, b->err));
    for (int k = 0; k < n; k++) {
        b->want->constant[k].id = b->constant[k] / 2;
        b->want->constant[k].is_outside = b->constant[k] % 2;
    }
    return FUSE_OK;
}

/* ---- the whole ---- */

static enum fuse_status open_builder(struct fuse_symbol_builder *b) {
    const struct fuse_symbol_request *want = b->want;
    size_t ranks = (size_t)b->comm->size;
    uint64_t seed = 0;
    /* Nobody can write a file whose symbols all fall on one place. */
    if (b->comm->rank == 0 && getrandom(&seed, sizeof seed, 0) != sizeof seed)
        seed = 0x2545F4914F6CDD1Du;
    FUSE_TRY(b->comm->ops->broadcast(b->comm, &seed, sizeof seed, 0, b->err));
    b->part = calloc((size_t)(want->tables + 2 * want->files) + 1, sizeof *b->part);
    b->question = calloc(ranks, sizeof *b->question);
    b->begin = calloc(2 * (ranks + 1), sizeof *b->begin);
    b->first_begin = b->begin ? b->begin + ranks + 1 : NULL;
    b->constant = calloc((size_t)want->constants + 1, sizeof *b->constant);
    b->count = calloc((size_t)want->tables + 1, sizeof *b->count);
    b->fields.field = calloc(FUSE_MAX_AXES, sizeof *b->fields.field);
    b->fields.id = calloc(FUSE_MAX_AXES, sizeof *b->fields.id);
    b->symbols->shelf = calloc((size_t)want->tables + 1, sizeof *b->symbols->shelf);
    b->symbols->rows = calloc((size_t)want->files + 1, sizeof *b->symbols->rows);
    bool fine = b->part && b->question && b->begin && b->constant && b->count && b->fields.field && b->fields.id &&
                b->symbols->shelf && b->symbols->rows;
    enum fuse_status st = fine ? FUSE_OK : no_memory(b->err);
    b->symbols->tables = fine ? want->tables : 0;
    b->symbols->files = fine ? want->files : 0;
    if (st == FUSE_OK)
        st = fuse_dictionary_open(&b->met, seed, b->err);
    if (st == FUSE_OK)
        st = fuse_dictionary_open(&b->own, seed, b->err);
    if (st == FUSE_OK)
        st = fuse_deal_open(&b->deal, b->comm, FUSE_SYMBOL_RECORD_BYTES, b->err);
    if (st == FUSE_OK)
        fuse_symbols_list_parts(b);
    return fuse_agree(b->comm, st, b->err);
}

static void close_builder(struct fuse_symbol_builder *b) {
    for (int r = 0; b->question && r < b->comm->size; r++)
        free(b->question[r].own);
    for (int p = 0; b->part && p < b->parts; p++)
        free(b->part[p].id);
    free(b->part);
    free(b->question);
    free(b->begin);
    free(b->constant);
    free(b->count);
    free(b->fields.field);
    free(b->fields.id);
    free(b->sent);
    free(b->owned);
    free(b->order);
    free(b->firsts);
    free(b->id);
    fuse_dictionary_close(&b->met);
    fuse_dictionary_close(&b->own);
    fuse_deal_close(&b->deal);
}

/* Collective. */
static enum fuse_status build(struct fuse_symbol_builder *b, struct fuse_arena *arena) {
    FUSE_TRY(open_builder(b));
    FUSE_TRY(check_vocabularies(b));
    FUSE_TRY(fuse_symbols_collect(b));
    fuse_dictionary_close(&b->met);
    size_t sents = (size_t)b->sents + 1;
    b->order = malloc(sents * sizeof *b->order);
    b->firsts = malloc(sents * sizeof *b->firsts);
    b->id = malloc(sents * sizeof *b->id);
    FUSE_TRY(fuse_agree(b->comm, b->order && b->firsts && b->id ? FUSE_OK : no_memory(b->err), b->err));
    order_sent(b, b->begin, b->order, false);
    FUSE_TRY(flow(b, &flags));
    order_sent(b, b->first_begin, b->firsts, true);
    FUSE_TRY(check_names(b));
    FUSE_TRY(number(b));
    FUSE_TRY(fuse_agree(b->comm, list_first_questions(b), b->err));
    FUSE_TRY(flow(b, &ids));
    FUSE_TRY(flow(b, &answers));
    FUSE_TRY(fill_shelves(b));
    for (int f = 0; f < b->want->files; f++)
        FUSE_TRY(count_file(b, f, arena));
    return name_constants(b);
}

enum fuse_status fuse_symbols_open(struct fuse_symbols **out, struct fuse_arena *arena, struct fuse_comm *comm,
                                   const struct fuse_symbol_request *want, struct fuse_error *err) {
    struct fuse_symbols *symbols = calloc(1, sizeof *symbols);
    struct fuse_symbol_builder *b = calloc(1, sizeof *b);
    enum fuse_status st = fuse_agree(comm, symbols && b ? FUSE_OK : no_memory(err), err);
    if (st == FUSE_OK) {
        *b = (struct fuse_symbol_builder){.comm = comm, .want = want, .symbols = symbols, .err = err};
        st = build(b, arena);
        close_builder(b);
    }
    free(b);
    if (st != FUSE_OK) {
        fuse_symbols_close(symbols);
        return st;
    }
    *out = symbols;
    return FUSE_OK;
}
