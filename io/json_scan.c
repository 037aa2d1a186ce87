#include "io/json_scan.h"

#include "core/box.h"

#include <string.h>

/* The level that ends every list; boundaries are below it. */
enum { LEVELS = FUSE_MAX_AXES + 1 };
enum { MIN_CHUNK_BYTES = 4 << 10, MAX_CHUNKS = 1 << 16 };

int64_t fuse_json_chunk_bytes(int64_t file_bytes) {
    int64_t bytes = (file_bytes + MAX_CHUNKS - 1) / MAX_CHUNKS;
    return bytes > MIN_CHUNK_BYTES ? bytes : MIN_CHUNK_BYTES;
}

/* ---- one rank's range of bytes ---- */

/* Boundaries of at least a level, by the number of the value that follows (counted from the range's first). */
struct boundaries {
    int64_t count, first, last, gap;
    bool is_uneven;
};

struct part {
    int64_t values; /* that begin in the range */
    struct boundaries level[LEVELS];
    bool has_bool, has_integer, has_real;
    bool is_bad;
    int opened; /* lists that begin before the first value of the file; -1: not seen here */
    int closed; /* lists that end behind its last value; -1: not seen here */
};

static void note_boundary(struct part *part, int level) {
    for (int k = 1; k <= level; k++) {
        struct boundaries *b = &part->level[k];
        if (b->count == 0)
            b->first = part->values;
        else if (b->count == 1)
            b->gap = part->values - b->last;
        else
            b->is_uneven |= part->values - b->last != b->gap;
        b->last = part->values;
        b->count++;
    }
}

static bool is_value(const struct fuse_json_token *token) {
    return token->kind == FUSE_JSON_INTEGER || token->kind == FUSE_JSON_REAL || token->kind == FUSE_JSON_BOOL;
}

/* From behind a value to the next one or the end of the file: close* (comma open* | end). */
static enum fuse_status pass_boundary(struct part *part, struct fuse_json_reader *reader, struct fuse_json_token *token,
                                      struct fuse_error *err) {
    int closed = 0, opened = 0;
    FUSE_TRY(fuse_json_next(reader, token, err));
    for (; token->kind == FUSE_JSON_CLOSE && closed < LEVELS; closed++)
        FUSE_TRY(fuse_json_next(reader, token, err));
    if (token->kind == FUSE_JSON_END && closed < LEVELS) {
        part->closed = closed;
        return FUSE_OK;
    }
    part->is_bad |= token->kind != FUSE_JSON_COMMA;
    if (part->is_bad)
        return FUSE_OK;
    FUSE_TRY(fuse_json_next(reader, token, err));
    for (; token->kind == FUSE_JSON_OPEN && opened < LEVELS; opened++)
        FUSE_TRY(fuse_json_next(reader, token, err));
    part->is_bad |= !is_value(token) || opened != closed || closed >= LEVELS;
    if (!part->is_bad)
        note_boundary(part, closed);
    return FUSE_OK;
}

static enum fuse_status pass_beginning(struct part *part, struct fuse_json_reader *reader,
                                       struct fuse_json_token *token, struct fuse_error *err) {
    FUSE_TRY(fuse_json_next(reader, token, err));
    for (part->opened = 0; token->kind == FUSE_JSON_OPEN && part->opened < LEVELS; part->opened++)
        FUSE_TRY(fuse_json_next(reader, token, err));
    part->is_bad |= !is_value(token) || part->opened > FUSE_MAX_AXES;
    return FUSE_OK;
}

/* Chunks [first, end) of the index are this rank's. before[k] counts from the range's first value. */
static enum fuse_status scan_part(struct part *part, int64_t *before, int64_t first, int64_t end, int64_t chunk_bytes,
                                  struct fuse_json_reader *reader, struct fuse_error *err) {
    int64_t chunk = first, stop = end * chunk_bytes, start = 0;
    struct fuse_json_token token;
    *part = (struct part){.opened = -1, .closed = -1};
    if (first == end)
        return FUSE_OK;
    FUSE_TRY(fuse_json_seek(reader, first * chunk_bytes, err));
    if (first == 0) {
        FUSE_TRY(pass_beginning(part, reader, &token, err));
        start = token.offset;
    } else {
        /* What lies between words here belongs to the value before. */
        FUSE_TRY(fuse_json_skip(reader, &start, err));
        if (start < stop && start < reader->file_bytes)
            FUSE_TRY(fuse_json_next(reader, &token, err));
        part->is_bad |= start < stop && start < reader->file_bytes && !is_value(&token);
    }
    while (!part->is_bad && start < stop && start < reader->file_bytes) {
        for (; chunk * chunk_bytes <= start; chunk++)
            before[chunk] = part->values;
        part->has_bool |= token.kind == FUSE_JSON_BOOL;
        part->has_integer |= token.kind == FUSE_JSON_INTEGER;
        part->has_real |= token.kind == FUSE_JSON_REAL;
        part->values++;
        FUSE_TRY(pass_boundary(part, reader, &token, err));
        if (token.kind == FUSE_JSON_END)
            break;
        start = token.offset;
    }
    for (; chunk < end; chunk++)
        before[chunk] = part->values;
    return FUSE_OK;
}

/* ---- all of them ---- */

struct whole {
    int64_t values;
    int depth;
    int64_t stride[LEVELS]; /* values between boundaries of at least a level; behind the last level, all values */
};

/* Whether this rank's boundaries of at least level k are exactly the multiples of the stride. Its boundaries come before
 * values base + 1 .. base + values, but none behind the last value of all. */
static bool is_level_regular(const struct part *part, const struct whole *whole, int64_t base, int k) {
    const struct boundaries *b = &part->level[k];
    int64_t stride = whole->stride[k], last = base + part->values;
    last = last < whole->values ? last : whole->values - 1;
    int64_t wanted = last / stride - base / stride;
    if (last <= base || wanted == 0)
        return b->count == 0;
    return b->count == wanted && !b->is_uneven && base + b->first == (base / stride + 1) * stride &&
           (b->count == 1 || b->gap == stride);
}

static bool is_regular(const struct part *part, const struct whole *whole, int64_t base) {
    for (int k = 1; k < whole->depth; k++)
        if (!is_level_regular(part, whole, base, k))
            return false;
    /* A list behind the first one, or a value behind the only one. */
    for (int k = whole->depth > 0 ? whole->depth : 1; k < LEVELS; k++)
        if (part->level[k].count > 0)
            return false;
    return whole->depth > 0 || whole->values == 1;
}

/* Strides from the first boundary of each level, and extents from the strides. false when they are no extents. */
static bool find_extents(struct whole *whole, int64_t extent[FUSE_MAX_AXES], const int64_t *first) {
    whole->stride[0] = 1;
    for (int k = 1; k <= whole->depth; k++) {
        whole->stride[k] = k < whole->depth && first[k] < whole->values ? first[k] : whole->values;
        if (whole->stride[k] < whole->stride[k - 1] || whole->stride[k] % whole->stride[k - 1] != 0)
            return false;
        extent[whole->depth - k] = whole->stride[k] / whole->stride[k - 1];
    }
    return whole->values > 0;
}

static enum fuse_status judge_parts(bool *is_fine, struct fuse_probe *out, const struct part *part, int64_t *base,
                                    int64_t *values, struct fuse_comm *comm, struct fuse_error *err) {
    int64_t flag[] = {part->is_bad, part->has_bool, part->has_integer, part->has_real, part->opened, part->closed};
    enum { FLAGS = sizeof flag / sizeof *flag };
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, flag, FLAGS, err));
    struct whole whole = {.depth = flag[4] >= 0 && flag[4] <= FUSE_MAX_AXES ? (int)flag[4] : 0};
    FUSE_TRY(fuse_sum_before(base, &whole.values, comm, part->values, err));
    int64_t first[LEVELS];
    for (int k = 0; k < LEVELS; k++)
        first[k] = part->level[k].count > 0 ? *base + part->level[k].first : INT64_MAX;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, first, LEVELS, err));
    bool fine = !flag[0] && flag[4] == flag[5] && !(flag[1] && (flag[2] || flag[3])) &&
                find_extents(&whole, out->extent, first);
    int64_t wrong = !fine || !is_regular(part, &whole, *base);
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &wrong, 1, err));
    out->rank = whole.depth;
    out->file_dtype = flag[1] ? FUSE_BOOL : flag[3] ? FUSE_F32 : FUSE_I64;
    *values = whole.values;
    *is_fine = !wrong;
    return FUSE_OK;
}

/* Sums the index over ranks in pieces whose number of elements an MPI count can hold anyway. */
static enum fuse_status join_index(int64_t *before, int64_t chunks, int64_t first, int64_t end, int64_t base,
                                   struct fuse_comm *comm, struct fuse_error *err) {
    for (int64_t c = 0; c < chunks; c++)
        before[c] = c >= first && c < end ? before[c] + base : 0;
    return comm->ops->reduce_int64(comm, FUSE_REDUCE_SUM, before, (int)chunks, err);
}

enum fuse_status fuse_json_scan(struct fuse_probe *out, struct fuse_arena *arena, struct fuse_comm *comm,
                                struct fuse_bytes *file, int64_t file_bytes, int64_t chunk_bytes, const char *path,
                                struct fuse_error *err) {
    int64_t chunks = file_bytes / chunk_bytes + 1; /* so that an empty file has one too */
    int64_t first = fuse_split_begin(chunks, comm->size, comm->rank);
    int64_t end = fuse_split_begin(chunks, comm->size, comm->rank + 1);
    int64_t *before = FUSE_NEW_ARRAY(arena, int64_t, chunks);
    struct fuse_json_reader reader;
    struct fuse_probe probe = {.file_bytes = file_bytes};
    struct part part = {.opened = -1, .closed = -1};
    enum fuse_status st = fuse_json_open(&reader, file, file_bytes, path, err);
    if (st == FUSE_OK) {
        st = scan_part(&part, before, first, end, chunk_bytes, &reader, err);
        fuse_json_close(&reader);
    }
    FUSE_TRY(fuse_agree(comm, st, err));
    bool is_fine;
    int64_t base, values;
    FUSE_TRY(judge_parts(&is_fine, &probe, &part, &base, &values, comm, err));
    if (!is_fine) {
        if (comm->rank == 0)
            st = fuse_json_explain(file, file_bytes, path, err);
        if (comm->rank == 0 && st == FUSE_OK)
            st = fuse_fail(err, FUSE_EBUG, "%s: the ranks find no array where one reader does", path);
        return fuse_agree(comm, st, err);
    }
    FUSE_TRY(join_index(before, chunks, first, end, base, comm, err));
    struct fuse_json_index *index = FUSE_NEW(arena, struct fuse_json_index);
    *index = (struct fuse_json_index){chunk_bytes, chunks, values, before};
    probe.index = index;
    *out = probe;
    return FUSE_OK;
}
