/* Pass 1 of the building of symbol tables: files are read, and what is met for the first time goes to its owner. */
#include "io/symbol_builder.h"
#include "io/text_file.h"

#include <stdlib.h>
#include <string.h>

/* Of symbols that were met and not sent. */
enum { LOG_BYTES = 128 << 20 };

struct message {
    int64_t place;
    uint32_t table, bytes; /* the text follows, padded to whole words */
};

static bool is_good(const struct fuse_symbol_builder *b) {
    return b->status == FUSE_OK;
}

static void keep(struct fuse_symbol_builder *b, enum fuse_status st) {
    if (is_good(b))
        b->status = st;
}

static enum fuse_status no_memory(struct fuse_error *err) {
    return fuse_fail(err, FUSE_EMEMORY, "no memory for symbols");
}

/* Room for n elements of `size` bytes behind those that are there. */
static enum fuse_status grow(void **at, int64_t *room, int64_t n, size_t size, struct fuse_error *err) {
    if (n <= *room)
        return FUSE_OK;
    int64_t larger = *room ? 2 * *room : 1024;
    while (larger < n)
        larger *= 2;
    void *to = realloc(*at, (size_t)larger * size);
    if (!to)
        return no_memory(err);
    *at = to;
    *room = larger;
    return FUSE_OK;
}

/* ---- parts ---- */

static void add_part(struct fuse_symbol_builder *b, struct fuse_symbol_part part) {
    part.places = part.vocabulary ? part.vocabulary->items : fuse_text_file_bytes(part.probe);
    part.fault_place = INT64_MAX;
    part.base = b->part[b->parts].base;
    b->part[b->parts++] = part;
    b->part[b->parts].base = part.base + part.places;
}

static void add_vocabulary(struct fuse_symbol_builder *b, const struct fuse_symbol_file *file) {
    const struct fuse_vocabulary *vocabulary = file->probe->vocabulary;
    int last = file->columns - 1;
    if (vocabulary && file->table[last] >= 0)
        add_part(b,
                 (struct fuse_symbol_part){
                     .path = vocabulary->path, .vocabulary = vocabulary, .table = {file->table[last]}, .names_of = -1});
}

static void add_file(struct fuse_symbol_builder *b, const struct fuse_symbol_file *file, struct fuse_kept_rows *kept) {
    struct fuse_symbol_part part = {.path = file->path,
                                    .text_part = file->part,
                                    .format = file->format,
                                    .probe = file->probe,
                                    .names_of = -1,
                                    .kept = kept};
    kept->columns = file->columns;
    kept->has_value = file->has_value;
    for (int c = 0; c < file->columns; c++) {
        part.table[c] = file->table[c];
        kept->is_symbolic[c] = file->table[c] >= 0;
    }
    add_part(b, part);
}

void fuse_symbols_list_parts(struct fuse_symbol_builder *b) {
    const struct fuse_symbol_request *want = b->want;
    for (int t = 0; t < want->tables; t++)
        if (want->names[t].path)
            add_part(b, (struct fuse_symbol_part){.path = want->names[t].path,
                                                  .format = &fuse_format_names,
                                                  .probe = want->names[t].probe,
                                                  .table = {t},
                                                  .names_of = t});
    for (int f = 0; f < want->files; f++)
        add_vocabulary(b, &want->file[f]);
    for (int f = 0; f < want->files; f++)
        add_file(b, &want->file[f], &b->symbols->rows[f]);
}

enum fuse_status fuse_symbols_open_part(struct fuse_symbol_builder *b, struct fuse_field_source **out,
                                        const struct fuse_symbol_part *part) {
    b->fields.columns = part->kept ? part->kept->columns : 1;
    b->fields.has_value = part->kept && part->kept->has_value;
    for (int c = 0; c < b->fields.columns; c++)
        b->fields.is_symbolic[c] = !part->kept || part->kept->is_symbolic[c];
    return part->format->fields_open(out, part->path, part->text_part, part->probe, &b->fields, b->comm->rank,
                                     b->comm->size, b->err);
}

/* ---- reading ---- */

/* A symbol that is met for the first time; false when its text is none. */
static bool add_symbol(struct fuse_symbol_builder *b, struct fuse_symbol_part *part, const struct fuse_symbol_key *key,
                       int64_t place, const char *line) {
    const char *fault = fuse_symbol_fault(key->text, key->bytes);
    if (fault) {
        part->found.reason = fault;
        part->found.column = key->text - line + 1;
        return false;
    }
    b->sent[b->sents++] = (struct fuse_symbol_sent){.place = place, .table = (uint16_t)key->table};
    return true;
}

static void repeat_name(struct fuse_symbol_part *part, int64_t place) {
    part->fault_place = place < part->fault_place ? place : part->fault_place;
}

/* Looks the symbols of the rows up, in the order in which they stand; false when one is no text. */
static bool find_symbols(struct fuse_symbol_builder *b, struct fuse_symbol_part *part,
                         const struct fuse_kept_place *to) {
    const struct fuse_fields *fields = &b->fields;
    for (int i = 0, k = 0; i < fields->n; i++)
        for (int c = 0; c < fields->columns; c++) {
            if (!fields->is_symbolic[c])
                continue;
            const struct fuse_symbol_key *key = &b->key[k];
            bool is_new = false;
            uint32_t number = b->guess[k++];
            if (number == FUSE_DICTIONARY_UNKNOWN)
                number = fuse_dictionary_find(&b->met, key, &is_new);
            int64_t place = part->base + fields->begin[i] + c;
            if (is_new && !add_symbol(b, part, key, place, fields->text[i])) {
                part->found.rows += i;
                return false;
            }
            if (part->kept)
                to->symbol[c][i] = number;
            else if (!is_new)
                repeat_name(part, place);
        }
    part->found.rows += fields->n;
    return true;
}

static enum fuse_status take_rows(struct fuse_symbol_builder *b, struct fuse_symbol_part *part) {
    const struct fuse_fields *fields = &b->fields;
    struct fuse_kept_place to = {.value = NULL};
    size_t bytes = 0;
    int keys = 0;
    for (int i = 0; i < fields->n; i++)
        for (int c = 0; c < fields->columns; c++) {
            if (!fields->is_symbolic[c])
                continue;
            const struct fuse_field *field = &fields->field[c][i];
            struct fuse_symbol_key *key = &b->key[keys++];
            size_t used = field->bytes <= FUSE_SYMBOL_BYTES ? field->bytes : FUSE_SYMBOL_BYTES;
            *key = (struct fuse_symbol_key){field->at, (uint32_t)field->bytes, (uint32_t)part->table[c], 0};
            key->hash = fuse_dictionary_hash(&b->met, field->at, used, key->table);
            bytes += field->bytes;
            fuse_dictionary_prefetch_slot(&b->met, key->hash);
        }
    FUSE_TRY(fuse_dictionary_reserve(&b->met, (size_t)keys, bytes, b->err));
    FUSE_TRY(grow((void **)&b->sent, &b->sent_room, b->sents + keys, sizeof *b->sent, b->err));
    fuse_dictionary_guess(&b->met, b->guess, b->key, keys);
    if (part->kept) {
        FUSE_TRY(fuse_kept_rows_grow(part->kept, &to, fields->n, b->err));
        for (int c = 0; c < fields->columns; c++)
            if (!fields->is_symbolic[c])
                memcpy(to.id[c], fields->id[c], (size_t)fields->n * sizeof *to.id[c]);
        if (to.value)
            memcpy(to.value, fields->value, (size_t)fields->n * sizeof *to.value);
    }
    if (!find_symbols(b, part, &to))
        b->is_read = true;
    return FUSE_OK;
}

/* Its symbols have their ids already. One that another vocabulary had before is of that one. */
static enum fuse_status take_vocabulary(struct fuse_symbol_builder *b) {
    struct fuse_symbol_part *part = &b->part[b->at++];
    const struct fuse_vocabulary *vocabulary = part->vocabulary;
    part->first = b->sents;
    if (b->comm->rank != 0)
        return FUSE_OK;
    part->id = malloc(((size_t)vocabulary->items + 1) * sizeof *part->id);
    if (!part->id)
        return no_memory(b->err);
    for (int64_t k = 0; k < vocabulary->items; k++) {
        const struct fuse_vocabulary_item *item = &vocabulary->item[k];
        struct fuse_symbol_key key = {item->token, item->bytes, (uint32_t)part->table[0], 0};
        bool is_new;
        key.hash = fuse_dictionary_hash(&b->met, key.text, key.bytes, key.table);
        FUSE_TRY(fuse_dictionary_reserve(&b->met, 1, key.bytes, b->err));
        FUSE_TRY(grow((void **)&b->sent, &b->sent_room, b->sents + 1, sizeof *b->sent, b->err));
        fuse_dictionary_find(&b->met, &key, &is_new);
        if (!is_new)
            continue;
        part->id[b->sents - part->first] = item->id;
        b->sent[b->sents++] = (struct fuse_symbol_sent){.place = part->base + k, .table = (uint16_t)key.table};
    }
    return FUSE_OK;
}

/* Constants stand behind all files; rank 0 has met them. */
static enum fuse_status take_constants(struct fuse_symbol_builder *b) {
    char text[FUSE_SYMBOL_BYTES + FUSE_FIELD_SLACK] = {0};
    b->part[b->parts].first = b->sents;
    for (int k = 0; k < b->want->constants && b->comm->rank == 0; k++) {
        const struct fuse_symbol_constant *constant = &b->want->constant[k];
        struct fuse_symbol_key key = {text, (uint32_t)strlen(constant->text), (uint32_t)constant->table, 0};
        bool is_new;
        if (key.bytes == 0 || key.bytes > FUSE_SYMBOL_BYTES)
            return fuse_fail(b->err, FUSE_EBUG, "a constant that is no symbol");
        memcpy(text, constant->text, key.bytes);
        key.hash = fuse_dictionary_hash(&b->met, text, key.bytes, key.table);
        FUSE_TRY(fuse_dictionary_reserve(&b->met, 1, key.bytes, b->err));
        FUSE_TRY(grow((void **)&b->sent, &b->sent_room, b->sents + 1, sizeof *b->sent, b->err));
        b->constant[k] = fuse_dictionary_find(&b->met, &key, &is_new);
        if (is_new)
            b->sent[b->sents++] =
                (struct fuse_symbol_sent){.place = b->part[b->parts].base + k, .table = (uint16_t)key.table};
    }
    b->is_read = true;
    return FUSE_OK;
}

/* What the next rows leave to be said of the file; false when there are no more of it. */
static bool judge_rows(struct fuse_symbol_builder *b, struct fuse_symbol_part *part) {
    const struct fuse_fields *fields = &b->fields;
    part->hint = fields->hint;
    if (part->found.is_blank && (fields->n > 0 || fields->end == FUSE_FIELDS_BAD)) {
        part->found.more = true;
        b->is_read = true;
        return true;
    }
    part->found.is_blank |= fields->end == FUSE_FIELDS_BLANK;
    return fields->n > 0 || fields->end != FUSE_FIELDS_GOOD;
}

static enum fuse_status read_rows(struct fuse_symbol_builder *b) {
    struct fuse_symbol_part *part = &b->part[b->at];
    if (!b->source) {
        part->first = b->sents;
        FUSE_TRY(fuse_symbols_open_part(b, &b->source, part));
    }
    FUSE_TRY(part->format->fields_next(b->source, &b->fields, b->err));
    if (!judge_rows(b, part)) {
        part->format->fields_close(b->source);
        b->source = NULL;
        b->at++;
        return FUSE_OK;
    }
    if (b->is_read)
        return FUSE_OK;
    FUSE_TRY(take_rows(b, part));
    if (b->fields.end == FUSE_FIELDS_BAD && !b->is_read) {
        memcpy(part->reason, b->fields.reason, sizeof part->reason);
        part->found.reason = part->reason;
        part->found.column = b->fields.column;
        part->found.more = true;
        b->is_read = true;
    }
    return FUSE_OK;
}

static enum fuse_status read_some(struct fuse_symbol_builder *b) {
    if (b->at == b->parts)
        return take_constants(b);
    return b->part[b->at].vocabulary ? take_vocabulary(b) : read_rows(b);
}

/* Until there is enough to be sent, or nothing more. */
static void read_on(struct fuse_symbol_builder *b) {
    while (is_good(b) && !b->is_read && b->met.log_bytes < LOG_BYTES)
        keep(b, read_some(b));
}

/* ---- 1: to owners ---- */

static bool has_pending(const struct fuse_symbol_builder *b) {
    return is_good(b) && b->pending < b->met.log_bytes;
}

static void send_symbols(struct fuse_symbol_builder *b) {
    struct fuse_symbol_key key;
    if (!has_pending(b) && !b->is_read) {
        fuse_dictionary_clear(&b->met);
        b->pending = 0;
        read_on(b);
    }
    for (size_t next = b->pending; is_good(b) && fuse_dictionary_each(&b->met, &next, &key); b->pending = next) {
        size_t padded = (key.bytes + 7) / 8 * 8;
        struct fuse_symbol_sent *sent = &b->sent[b->pending_number];
        sent->owner = (uint32_t)fuse_dictionary_owner(key.hash, b->comm->size);
        char *to = fuse_deal_put(&b->deal, (int)sent->owner, sizeof(struct message) + padded);
        if (!to)
            return;
        struct message message = {sent->place, key.table, key.bytes};
        memcpy(to, &message, sizeof message);
        memcpy(to + sizeof message, key.text, padded);
        b->pending_number++;
    }
}

static enum fuse_status take_symbol(struct fuse_symbol_builder *b, int rank, const struct message *message,
                                    const char *text) {
    struct fuse_symbol_questions *q = &b->question[rank];
    struct fuse_symbol_key key = {text, message->bytes, message->table, 0};
    bool is_new;
    key.hash = fuse_dictionary_hash(&b->own, text, key.bytes, key.table);
    FUSE_TRY(fuse_dictionary_reserve(&b->own, 1, key.bytes, b->err));
    int64_t room = (int64_t)b->owned_room;
    FUSE_TRY(grow((void **)&b->owned, &room, (int64_t)b->own.next + 1, sizeof *b->owned, b->err));
    b->owned_room = (size_t)room;
    FUSE_TRY(grow((void **)&q->own, &q->room, q->n + 1, sizeof *q->own, b->err));
    uint32_t number = fuse_dictionary_find(&b->own, &key, &is_new);
    if (is_new || message->place < b->owned[number].place)
        b->owned[number] =
            (struct fuse_symbol_owned){.place = message->place, .rank = (uint32_t)rank, .question = (uint32_t)q->n};
    q->own[q->n++] = number;
    return FUSE_OK;
}

static void take_symbols(struct fuse_symbol_builder *b) {
    for (int rank = 0; rank < b->comm->size; rank++) {
        const char *at = fuse_deal_from(&b->deal, rank), *end = at + b->deal.received[rank];
        while (is_good(b) && at < end) {
            struct message message;
            memcpy(&message, at, sizeof message);
            keep(b, take_symbol(b, rank, &message, at + sizeof message));
            at += sizeof message + (message.bytes + 7) / 8 * 8;
        }
    }
}

/* Collective. */
enum fuse_status fuse_symbols_collect(struct fuse_symbol_builder *b) {
    for (bool more = true; more;) {
        send_symbols(b);
        more = is_good(b) && (has_pending(b) || !b->is_read);
        FUSE_TRY(fuse_deal_round(&b->deal, &more, b->err));
        take_symbols(b);
    }
    if (b->source)
        b->part[b->at].format->fields_close(b->source);
    b->source = NULL;
    FUSE_TRY(fuse_agree(b->comm, b->status, b->err));
    for (int p = 0; p < b->parts; p++)
        FUSE_TRY(fuse_tsv_judge(&b->part[p].before, &b->part[p].found, b->comm, b->part[p].hint ? b->part[p].hint : "",
                                b->part[p].path, b->err));
    return FUSE_OK;
}
