#include "io/tsv_names.h"

#include "io/symbols.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* Read at a time; and lines, whose names are asked for together. */
enum { CHUNK_BYTES = 1 << 20, CHUNK_LINES = 1 << 16 };

struct naming {
    struct fuse_text_runs *text;
    const struct fuse_text_runs *raw;
    const struct fuse_text_shape *shape;
    const struct fuse_tsv_form *form;
    int named;             /* axes with names */
    int64_t run, at, rest; /* in the text of raw lines: the next run, where it is, what is left of the one before */
    char *chunk;
    size_t chunk_bytes;
    struct fuse_symbol_id *id;
    int64_t ids;
    struct fuse_symbol_texts names;
    char *line;
};

static size_t ids_bytes(const struct naming *n) {
    return (size_t)n->shape->member->rank * sizeof(int64_t);
}

static size_t raw_bytes(const struct naming *n, const char *at) {
    return ids_bytes(n) + 1 + (unsigned char)at[ids_bytes(n)];
}

size_t fuse_tsv_write_raw(char to[FUSE_TSV_RAW_BYTES], const int64_t *id, int ids, const char *value, size_t digits) {
    size_t bytes = (size_t)ids * sizeof *id;
    memcpy(to, id, bytes);
    to[bytes++] = (char)digits;
    memcpy(to + bytes, value, digits);
    return bytes + digits;
}

static int compare_ids(const void *a, const void *b) {
    const struct fuse_symbol_id *x = a, *y = b;
    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

/* The next lines of one run: whole ones, in the chunk. */
static enum fuse_status read_chunk(struct naming *n, struct fuse_error *err) {
    int64_t first, count, bytes;
    n->chunk_bytes = 0;
    while (n->rest == 0 && fuse_text_runs_run(n->raw, n->run, &first, &count, &bytes)) {
        n->run++;
        n->rest = bytes;
        FUSE_TRY(fuse_text_runs_begin(n->text, first, count, err));
    }
    size_t most = n->rest < CHUNK_BYTES ? (size_t)n->rest : CHUNK_BYTES, used = 0;
    FUSE_TRY(fuse_text_runs_read(n->raw, n->chunk, most, n->at, err));
    for (int lines = 0; lines < CHUNK_LINES && used + ids_bytes(n) + 1 <= most; lines++) {
        size_t line = raw_bytes(n, n->chunk + used);
        if (used + line > most)
            break;
        used += line;
    }
    n->chunk_bytes = used;
    n->at += (int64_t)used;
    n->rest -= (int64_t)used;
    return FUSE_OK;
}

static void list_ids(struct naming *n) {
    const struct fuse_sink_member *member = n->shape->member;
    int64_t position[FUSE_MAX_AXES], kept = 0;
    n->ids = 0;
    for (size_t at = 0; at < n->chunk_bytes; at += raw_bytes(n, n->chunk + at)) {
        memcpy(position, n->chunk + at, ids_bytes(n));
        for (int a = 0; a < member->rank; a++)
            if (member->table[a] > 0)
                n->id[n->ids++] = (struct fuse_symbol_id){member->table[a] - 1, (uint32_t)position[a]};
    }
    qsort(n->id, (size_t)n->ids, sizeof *n->id, compare_ids);
    for (int64_t k = 0; k < n->ids; k++)
        if (k == 0 || compare_ids(&n->id[k], &n->id[kept - 1]) != 0)
            n->id[kept++] = n->id[k];
    n->ids = kept;
}

static enum fuse_status add_name(struct naming *n, size_t *bytes, int table, int64_t position, struct fuse_error *err) {
    struct fuse_symbol_id wanted = {table, (uint32_t)position};
    const struct fuse_symbol_id *found = bsearch(&wanted, n->id, (size_t)n->ids, sizeof wanted, compare_ids);
    const char *name = n->names.text + n->names.at[found - n->id];
    size_t length = n->names.at[found - n->id + 1] - n->names.at[found - n->id];
    if (length == 0) {
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: no symbol has the id %" PRId64, n->shape->path, position);
        fuse_hint(err, "a table of symbols has rows of symbols only; a .npy file or a .json file has every position");
        return FUSE_EOUTPUT;
    }
    if (memchr(name, n->form->separator, length)) {
        const char *what = n->form->separator == ',' ? "comma" : "tab";
        int shown = length < 100 ? (int)length : 100;
        fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: there is a %s in the symbol '%.*s'", n->shape->path, what, shown,
                  name);
        fuse_hint(err, "fields are not quoted: %s",
                  n->form->separator == ',' ? "write a .tsv file" : "write a .csv file");
        return FUSE_EOUTPUT;
    }
    memcpy(n->line + *bytes, name, length);
    *bytes += length;
    return FUSE_OK;
}

static enum fuse_status write_lines(struct naming *n, struct fuse_error *err) {
    const struct fuse_sink_member *member = n->shape->member;
    int64_t position[FUSE_MAX_AXES];
    for (size_t at = 0; at < n->chunk_bytes; at += raw_bytes(n, n->chunk + at)) {
        const char *value = n->chunk + at + ids_bytes(n);
        size_t bytes = 0, digits = (unsigned char)*value++;
        memcpy(position, n->chunk + at, ids_bytes(n));
        for (int a = 0; a < member->rank; a++) {
            if (a > 0)
                n->line[bytes++] = n->form->separator;
            if (member->table[a] > 0)
                FUSE_TRY(add_name(n, &bytes, member->table[a] - 1, position[a], err));
            else
                bytes += fuse_decimal_write_i64(n->line + bytes, position[a]);
        }
        if (digits > 0)
            n->line[bytes++] = n->form->separator;
        memcpy(n->line + bytes, value, digits);
        bytes += digits;
        n->line[bytes++] = '\n';
        FUSE_TRY(fuse_text_runs_append(n->text, n->line, bytes, err));
    }
    return FUSE_OK;
}

/* Collective: one chunk of every rank. *more: in, whether this rank is well; out, whether any has more to name. */
static enum fuse_status name_chunk(struct naming *n, struct fuse_comm *comm, enum fuse_status st, bool *more,
                                   struct fuse_error *err) {
    struct fuse_error ignored = {0};
    int64_t first, count, bytes;
    n->chunk_bytes = 0;
    n->ids = 0;
    if (st == FUSE_OK)
        st = read_chunk(n, err);
    if (st == FUSE_OK)
        list_ids(n);
    enum fuse_status found =
        fuse_symbols_find(&n->names, n->shape->member->symbols, comm, n->id, n->ids, st == FUSE_OK ? err : &ignored);
    st = st == FUSE_OK ? found : st;
    if (st == FUSE_OK)
        st = write_lines(n, err);
    fuse_symbol_texts_close(&n->names);
    int64_t any = st == FUSE_OK && (n->rest > 0 || fuse_text_runs_run(n->raw, n->run, &first, &count, &bytes));
    enum fuse_status reduced = comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &any, 1, st == FUSE_OK ? err : &ignored);
    *more = reduced == FUSE_OK && any != 0;
    return st == FUSE_OK ? reduced : st;
}

enum fuse_status fuse_tsv_name_rows(struct fuse_text_runs *text, const struct fuse_text_runs *appended,
                                    const struct fuse_text_shape *shape, const void *form, struct fuse_comm *comm,
                                    struct fuse_error *err) {
    const struct fuse_sink_member *member = shape->member;
    struct naming n = {.text = text, .raw = appended, .shape = shape, .form = form};
    size_t lines = CHUNK_BYTES / (ids_bytes(&n) + 1);
    lines = lines < CHUNK_LINES ? lines : CHUNK_LINES;
    for (int a = 0; a < member->rank; a++)
        n.named += member->table[a] > 0;
    n.chunk = malloc(CHUNK_BYTES);
    n.id = malloc(lines * (size_t)n.named * sizeof *n.id);
    n.line = malloc((size_t)member->rank * (FUSE_SYMBOL_BYTES + 20) + FUSE_DECIMAL_BYTES + 2);
    enum fuse_status st =
        n.chunk && n.id && n.line ? FUSE_OK : fuse_fail(err, FUSE_EMEMORY, "no memory to write %s", shape->path);
    for (bool more = true; more;)
        st = name_chunk(&n, comm, st, &more, err);
    free(n.chunk);
    free(n.id);
    free(n.line);
    return st;
}
