#include "io/symbols.h"

#include "core/text.h"
#include "io/deal.h"
#include "io/symbols_internal.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 2 };

static const char no_name[LENGTH_BYTES];

/* ---- shelves ---- */

enum fuse_status fuse_symbols_make_shelves(struct fuse_symbols *symbols, const struct fuse_comm *comm,
                                           const int64_t *count, struct fuse_error *err) {
    for (int t = 0; t < symbols->tables; t++) {
        struct fuse_symbol_shelf *shelf = &symbols->shelf[t];
        shelf->count = count[t];
        shelf->first = fuse_split_begin(count[t], comm->size, comm->rank);
        shelf->end = fuse_split_begin(count[t], comm->size, comm->rank + 1);
        shelf->at = calloc((size_t)(shelf->end - shelf->first) + 1, sizeof *shelf->at);
        if (!shelf->at)
            return fuse_fail(err, FUSE_EMEMORY, "no memory for %lld symbols", (long long)(shelf->end - shelf->first));
    }
    return FUSE_OK;
}

/* The last rank whose part begins at or before the id. */
int fuse_symbols_holder(const struct fuse_comm *comm, int64_t count, int64_t id) {
    if (id >= count)
        return comm->size - 1;
    __int128 end = (__int128)(id + 1) * comm->size;
    return (int)((end + count - 1) / count) - 1;
}

enum fuse_status fuse_symbols_put(struct fuse_symbols *symbols, int table, int64_t id, const char *text, size_t bytes,
                                  struct fuse_error *err) {
    size_t need = symbols->log_bytes + LENGTH_BYTES + bytes;
    uint16_t length = (uint16_t)bytes;
    if (need > symbols->log_room) {
        size_t room = 2 * need < 1 << 16 ? 1 << 16 : 2 * need;
        char *larger = realloc(symbols->log, room);
        if (!larger)
            return fuse_fail(err, FUSE_EMEMORY, "no memory for the names of symbols");
        symbols->log = larger;
        symbols->log_room = room;
    }
    symbols->shelf[table].at[id - symbols->shelf[table].first] = symbols->log_bytes + 1;
    memcpy(symbols->log + symbols->log_bytes, &length, LENGTH_BYTES);
    memcpy(symbols->log + symbols->log_bytes + LENGTH_BYTES, text, bytes);
    symbols->log_bytes = need;
    symbols->longest = bytes > symbols->longest ? bytes : symbols->longest;
    return FUSE_OK;
}

void fuse_symbols_close(struct fuse_symbols *symbols) {
    if (!symbols)
        return;
    for (int t = 0; symbols->shelf && t < symbols->tables; t++)
        free(symbols->shelf[t].at);
    for (int f = 0; symbols->rows && f < symbols->files; f++)
        fuse_kept_rows_close(&symbols->rows[f]);
    free(symbols->shelf);
    free(symbols->rows);
    free(symbols->log);
    free(symbols);
}

int64_t fuse_symbols_count(const struct fuse_symbols *symbols, int table) {
    return symbols->shelf[table].count;
}

int64_t fuse_symbols_given(const struct fuse_symbols *symbols, int table) {
    return symbols->shelf[table].given;
}

int64_t fuse_symbols_bytes(const struct fuse_symbols *symbols) {
    int64_t bytes = (int64_t)symbols->log_room;
    for (int t = 0; t < symbols->tables; t++)
        bytes += (symbols->shelf[t].end - symbols->shelf[t].first) * (int64_t)sizeof *symbols->shelf[t].at;
    for (int f = 0; f < symbols->files; f++)
        bytes += fuse_kept_rows_bytes(&symbols->rows[f]);
    return bytes;
}

/* ---- names of ids ---- */

/* Two deals at once: ids go to who has their names, and in the next round the names come back in the same order. */
struct search {
    const struct fuse_symbols *symbols;
    struct fuse_comm *comm;
    const struct fuse_symbol_id *id;
    int64_t n;
    size_t longest; /* name on any rank */
    struct fuse_symbol_texts *out;
    size_t room;
    struct fuse_deal ask, answer;
    int64_t *begin, *asked, *answered; /* [ranks + 1] ids for each rank, in order: where they begin; how far it got */
};

static int holder_of(const struct search *s, int64_t k) {
    return fuse_symbols_holder(s->comm, s->symbols->shelf[s->id[k].table].count, s->id[k].id);
}

/* Ids of different tables and one rank need not be neighbours: `order` has them rank by rank. */
static int64_t *order_by_holder(struct search *s) {
    int64_t *order = malloc((size_t)(s->n + 1) * sizeof *order);
    int ranks = s->comm->size;
    if (!order)
        return NULL;
    for (int64_t k = 0; k < s->n; k++)
        s->begin[holder_of(s, k) + 1]++;
    for (int r = 0; r < ranks; r++)
        s->begin[r + 1] += s->begin[r];
    memcpy(s->asked, s->begin, (size_t)ranks * sizeof *s->asked);
    for (int64_t k = 0; k < s->n; k++)
        order[s->asked[holder_of(s, k)]++] = k;
    memcpy(s->asked, s->begin, (size_t)ranks * sizeof *s->asked);
    memcpy(s->answered, s->begin, (size_t)ranks * sizeof *s->answered);
    return order;
}

/* As many ids as fit into one piece, and their names surely, too. */
static bool put_questions(struct search *s, const int64_t *order) {
    int64_t most = (int64_t)(s->answer.piece_bytes / (LENGTH_BYTES + s->longest)),
            asked = (int64_t)(s->ask.piece_bytes / sizeof *s->id);
    most = most < asked ? most : asked;
    bool more = false;
    for (int r = 0; r < s->comm->size; r++) {
        for (int64_t i = 0; i < most && s->asked[r] < s->begin[r + 1]; i++) {
            const struct fuse_symbol_id *id = &s->id[order[s->asked[r]]];
            memcpy(fuse_deal_put(&s->ask, r, sizeof *id), id, sizeof *id);
            s->asked[r]++;
        }
        more |= s->asked[r] < s->begin[r + 1];
    }
    return more;
}

static void put_answers(struct search *s) {
    for (int r = 0; r < s->comm->size; r++)
        for (int64_t at = 0; at < s->ask.received[r]; at += (int64_t)sizeof(struct fuse_symbol_id)) {
            struct fuse_symbol_id id;
            uint16_t length;
            memcpy(&id, fuse_deal_from(&s->ask, r) + at, sizeof id);
            const struct fuse_symbol_shelf *shelf = &s->symbols->shelf[id.table];
            size_t at_name = id.id < shelf->end ? shelf->at[id.id - shelf->first] : 0;
            const char *name = at_name > 0 ? s->symbols->log + at_name - 1 : no_name;
            memcpy(&length, name, LENGTH_BYTES);
            memcpy(fuse_deal_put(&s->answer, r, LENGTH_BYTES + (size_t)length), name, LENGTH_BYTES + (size_t)length);
        }
}

/* Names come rank by rank, and are wanted in the order of the ids: they are first taken as they come. */
static enum fuse_status take_answers(struct search *s, const int64_t *order, size_t *place, size_t *used,
                                     struct fuse_error *err) {
    for (int r = 0; r < s->comm->size; r++) {
        const char *from = fuse_deal_from(&s->answer, r);
        if (*used + (size_t)s->answer.received[r] > s->room) {
            size_t room = 2 * (*used + (size_t)s->answer.received[r]);
            char *larger = realloc(s->out->text, room);
            if (!larger)
                return fuse_fail(err, FUSE_EMEMORY, "no memory for the names of symbols");
            s->out->text = larger;
            s->room = room;
        }
        for (int64_t at = 0; at < s->answer.received[r]; s->answered[r]++) {
            uint16_t length;
            memcpy(&length, from + at, LENGTH_BYTES);
            place[order[s->answered[r]]] = *used;
            memcpy(s->out->text + *used, from + at, LENGTH_BYTES + (size_t)length);
            *used += LENGTH_BYTES + (size_t)length;
            at += LENGTH_BYTES + (int64_t)length;
        }
    }
    return FUSE_OK;
}

static enum fuse_status search(struct search *s, const int64_t *order, size_t *place, struct fuse_error *err) {
    enum fuse_status taken = FUSE_OK;
    size_t used = 0;
    for (bool more = true; more;) {
        bool none = false;
        more = put_questions(s, order);
        FUSE_TRY(fuse_deal_round(&s->ask, &more, err));
        put_answers(s);
        FUSE_TRY(fuse_deal_round(&s->answer, &none, err));
        if (taken == FUSE_OK)
            taken = take_answers(s, order, place, &used, err);
    }
    return taken;
}

/* From lengths and texts as they came to texts in order. */
static enum fuse_status sort_texts(struct fuse_symbol_texts *out, const size_t *place, int64_t n, size_t bytes,
                                   struct fuse_error *err) {
    char *sorted = malloc(bytes + 1);
    out->at = malloc((size_t)(n + 1) * sizeof *out->at);
    if (!sorted || !out->at) {
        free(sorted);
        return fuse_fail(err, FUSE_EMEMORY, "no memory for the names of symbols");
    }
    size_t at = 0;
    for (int64_t k = 0; k < n; k++) {
        uint16_t length;
        memcpy(&length, out->text + place[k], LENGTH_BYTES);
        memcpy(sorted + at, out->text + place[k] + LENGTH_BYTES, length);
        out->at[k] = at;
        at += length;
    }
    out->at[n] = at;
    free(out->text);
    out->text = sorted;
    return FUSE_OK;
}

enum fuse_status fuse_symbols_find(struct fuse_symbol_texts *out, const struct fuse_symbols *symbols,
                                   struct fuse_comm *comm, const struct fuse_symbol_id *id, int64_t n,
                                   struct fuse_error *err) {
    struct search s = {.symbols = symbols, .comm = comm, .id = id, .n = n, .out = out};
    size_t ranks = (size_t)comm->size;
    int64_t longest = (int64_t)symbols->longest;
    *out = (struct fuse_symbol_texts){0};
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &longest, 1, err));
    s.longest = (size_t)longest;
    s.begin = calloc(3 * (ranks + 1), sizeof *s.begin);
    s.asked = s.begin ? s.begin + ranks + 1 : NULL;
    s.answered = s.begin ? s.asked + ranks + 1 : NULL;
    size_t *place = malloc((size_t)(n + 1) * sizeof *place);
    int64_t *order = s.begin ? order_by_holder(&s) : NULL;
    enum fuse_status st = place && order ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to name symbols");
    if (st == FUSE_OK)
        st = fuse_deal_open(&s.ask, comm, sizeof *id, err);
    if (st == FUSE_OK)
        st = fuse_deal_open(&s.answer, comm, LENGTH_BYTES + s.longest, err);
    st = fuse_agree(comm, st, err);
    if (st == FUSE_OK)
        st = search(&s, order, place, err);
    if (st == FUSE_OK && n >= 0)
        st = sort_texts(out, place, n, s.room, err);
    if (st != FUSE_OK)
        fuse_symbol_texts_close(out);
    fuse_deal_close(&s.ask);
    fuse_deal_close(&s.answer);
    free(order);
    free(place);
    free(s.begin);
    return st;
}

void fuse_symbol_texts_close(struct fuse_symbol_texts *texts) {
    free(texts->at);
    free(texts->text);
    *texts = (struct fuse_symbol_texts){0};
}

/* ---- the nearest name ---- */

enum fuse_status fuse_symbols_nearest(int64_t *id, const struct fuse_symbols *symbols, struct fuse_comm *comm,
                                      int table, const char *text, struct fuse_error *err) {
    const struct fuse_symbol_shelf *shelf = &symbols->shelf[table];
    const int limit = strlen(text) < 4 ? 1 : 2;
    /* The distance above the id, so that the least of all is the first of the nearest. */
    int64_t best = (int64_t)(limit + 1) << 40;
    for (int64_t k = shelf->first; k < shelf->end; k++) {
        char name[128];
        uint16_t bytes;
        const size_t at = shelf->at[k - shelf->first];
        if (at == 0)
            continue;
        memcpy(&bytes, symbols->log + at - 1, LENGTH_BYTES);
        if (bytes >= sizeof name)
            continue;
        memcpy(name, symbols->log + at - 1 + LENGTH_BYTES, bytes);
        name[bytes] = '\0';
        const int distance = fuse_text_distance(text, name, limit);
        /* The text has an id itself when it was asked about. */
        if (distance > 0 && distance <= limit && ((int64_t)distance << 40) + k < best)
            best = ((int64_t)distance << 40) + k;
    }
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &best, 1, err));
    *id = best >> 40 <= limit ? best & (((int64_t)1 << 40) - 1) : -1;
    return FUSE_OK;
}
