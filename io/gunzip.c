#include "io/gunzip.h"

#include "io/rawfile.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    BUFFER_BYTES = 256 << 10,
    WINDOW_BYTES = 32 << 10,
    MOST_PLACES = 128,
    FIRST_SPACING = 256 << 10,
    AT_HEADER = -1,
    TRAILER_BYTES = 8, /* CRC-32 and length */
    GZIP = 31,         /* window bits as zlib wants them: a gzip header and trailer are around the data */
    RAW = -15
};

/* Between two blocks of a member, or in front of a member. */
struct fuse_gunzip_place {
    int64_t out, in; /* bytes unpacked and packed so far */
    int32_t bits;    /* of byte in - 1 that are still to come; AT_HEADER: in front of a member */
    uint32_t window; /* bytes */
    unsigned char before[WINDOW_BYTES];
};

/* ---- the packed bytes ---- */

struct packed {
    int fd;
    int64_t bytes, loaded; /* of the file; read so far */
    const char *path;
    unsigned char *buffer;
};

static enum fuse_status load(struct packed *p, z_stream *z, struct fuse_error *err) {
    int64_t left = p->bytes - p->loaded;
    size_t bytes = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
    FUSE_TRY(fuse_rawfile_read(p->fd, p->buffer, bytes, p->loaded, p->path, err));
    p->loaded += (int64_t)bytes;
    z->next_in = p->buffer;
    z->avail_in = (uInt)bytes;
    return FUSE_OK;
}

static int64_t position(const struct packed *p, const z_stream *z) {
    return p->loaded - (int64_t)z->avail_in;
}

static enum fuse_status fail_memory(const char *path, struct fuse_error *err) {
    return fuse_fail(err, FUSE_EMEMORY, "no memory to unpack %s", path);
}

static enum fuse_status advise(enum fuse_status st, struct fuse_error *err) {
    if (st == FUSE_EINPUT)
        fuse_hint(err, "see what gzip -t says about it; copy or write the file again");
    return st;
}

enum fuse_status fuse_gunzip_check(int fd, int64_t packed, const char *path, struct fuse_error *err) {
    unsigned char head[3] = {0};
    if (packed >= (int64_t)sizeof head)
        FUSE_TRY(fuse_rawfile_read(fd, head, sizeof head, 0, path, err));
    if (head[0] == 0x1F && head[1] == 0x8B && head[2] == Z_DEFLATED)
        return FUSE_OK;
    return advise(fuse_fail(err, FUSE_EINPUT, "%s is no gzip file", path), err);
}

/* ---- the index ---- */

struct walk {
    struct packed packed;
    z_stream z;
    int64_t out, spacing;
    bool at_member; /* nothing of a member's header was read yet */
    struct fuse_gunzip_place *place;
    int places;
    unsigned char *unpacked;
};

static void note_place(struct walk *w, int bits) {
    if (w->places > 0 && w->out - w->place[w->places - 1].out < w->spacing)
        return;
    if (w->places == MOST_PLACES) {
        for (int i = 1; i < MOST_PLACES / 2; i++)
            memcpy(&w->place[i], &w->place[2 * i], sizeof *w->place);
        w->places = MOST_PLACES / 2;
        w->spacing *= 2;
        if (w->out - w->place[w->places - 1].out < w->spacing)
            return;
    }
    struct fuse_gunzip_place *place = &w->place[w->places++];
    uInt window = 0;
    place->out = w->out;
    place->in = position(&w->packed, &w->z);
    place->bits = bits;
    if (bits != AT_HEADER)
        inflateGetDictionary(&w->z, place->before, &window);
    place->window = window;
}

static enum fuse_status fail_data(const struct walk *w, struct fuse_error *err) {
    if (w->at_member)
        return fuse_fail(err, FUSE_EINPUT, "%s: what follows the packed data, from byte %lld on, is not gzip",
                         w->packed.path, (long long)position(&w->packed, &w->z));
    return fuse_fail(err, FUSE_EINPUT, "%s is damaged: %s, behind %lld unpacked bytes", w->packed.path,
                     w->z.msg ? w->z.msg : "bad data", (long long)w->out);
}

/* One piece of the file, at most to the end of a block. *done: that was the last one. */
static enum fuse_status walk_on(struct walk *w, bool *done, struct fuse_error *err) {
    z_stream *z = &w->z;
    if (z->avail_in == 0 && w->packed.loaded < w->packed.bytes)
        FUSE_TRY(load(&w->packed, z, err));
    z->next_out = w->unpacked;
    z->avail_out = BUFFER_BYTES;
    uInt had = z->avail_in;
    int code = inflate(z, Z_BLOCK);
    size_t got = BUFFER_BYTES - z->avail_out;
    if (code == Z_MEM_ERROR)
        return fail_memory(w->packed.path, err);
    if (code == Z_BUF_ERROR && had == 0 && got == 0)
        return fuse_fail(err, FUSE_EINPUT, "%s is truncated: its packed data do not end", w->packed.path);
    if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR)
        return fail_data(w, err);
    if (memchr(w->unpacked, 0, got))
        return fuse_fail(err, FUSE_EINPUT, "%s is no packed text: it unpacks to something with a NUL byte",
                         w->packed.path);
    w->out += (int64_t)got;
    w->at_member = false;
    if (code == Z_STREAM_END) {
        *done = position(&w->packed, z) == w->packed.bytes;
        w->at_member = true;
        inflateReset(z);
        if (!*done)
            note_place(w, AT_HEADER);
    } else if ((z->data_type & 128) && !(z->data_type & 64)) {
        note_place(w, z->data_type & 7);
    }
    return FUSE_OK;
}

static enum fuse_status walk_file(struct walk *w, struct fuse_error *err) {
    bool done = false;
    if (inflateInit2(&w->z, GZIP) != Z_OK)
        return fail_memory(w->packed.path, err);
    enum fuse_status st = FUSE_OK;
    note_place(w, AT_HEADER);
    while (st == FUSE_OK && !done)
        st = walk_on(w, &done, err);
    inflateEnd(&w->z);
    return advise(st, err);
}

enum fuse_status fuse_gunzip_index(struct fuse_gunzip_index *out, struct fuse_arena *arena, int fd, int64_t packed,
                                   const char *path, struct fuse_error *err) {
    struct walk w = {.packed = {.fd = fd, .bytes = packed, .path = path}, .spacing = FIRST_SPACING};
    w.place = malloc(MOST_PLACES * sizeof *w.place);
    w.packed.buffer = malloc(BUFFER_BYTES);
    w.unpacked = malloc(BUFFER_BYTES);
    enum fuse_status st = w.place && w.packed.buffer && w.unpacked ? FUSE_OK : fail_memory(path, err);
    if (st == FUSE_OK)
        st = walk_file(&w, err);
    if (st == FUSE_OK) {
        struct fuse_gunzip_place *place = FUSE_NEW_ARRAY(arena, struct fuse_gunzip_place, w.places);
        memcpy(place, w.place, (size_t)w.places * sizeof *place);
        *out = (struct fuse_gunzip_index){.packed = packed, .bytes = w.out, .places = w.places, .place = place};
    }
    free(w.place);
    free(w.packed.buffer);
    free(w.unpacked);
    return st;
}

enum fuse_status fuse_gunzip_share(struct fuse_gunzip_index *index, struct fuse_arena *arena, struct fuse_comm *comm,
                                   enum fuse_status local, struct fuse_error *err) {
    FUSE_TRY(fuse_agree(comm, local, err));
    FUSE_TRY(comm->ops->broadcast(comm, index, sizeof *index, 0, err));
    struct fuse_gunzip_place *place = comm->rank == 0 ? (struct fuse_gunzip_place *)index->place
                                                      : FUSE_NEW_ARRAY(arena, struct fuse_gunzip_place, index->places);
    index->place = place;
    return comm->ops->broadcast(comm, place, (size_t)index->places * sizeof *place, 0, err);
}

/* ---- reading ---- */

struct fuse_gunzip {
    struct fuse_bytes bytes;
    struct packed packed;
    const struct fuse_gunzip_index *index;
    z_stream z;
    bool is_open, is_raw; /* the stream was begun; between two blocks */
    bool has_ended;       /* the member that it is in */
    int64_t out;
    unsigned char *skipped;
};

static enum fuse_status fail_changed(const struct fuse_gunzip *g, struct fuse_error *err) {
    return advise(fuse_fail(err, FUSE_EINPUT, "%s changed after it was unpacked once", g->packed.path), err);
}

static enum fuse_status go_to(struct fuse_gunzip *g, const struct fuse_gunzip_place *place, struct fuse_error *err) {
    if (g->is_open)
        inflateEnd(&g->z);
    g->z = (z_stream){0};
    g->is_raw = place->bits != AT_HEADER;
    g->has_ended = false;
    g->is_open = inflateInit2(&g->z, g->is_raw ? RAW : GZIP) == Z_OK;
    if (!g->is_open)
        return fail_memory(g->packed.path, err);
    g->out = place->out;
    g->packed.loaded = place->in - (place->bits > 0);
    if (place->bits > 0) {
        FUSE_TRY(load(&g->packed, &g->z, err));
        int byte = *g->z.next_in++;
        g->z.avail_in--;
        if (inflatePrime(&g->z, place->bits, byte >> (8 - place->bits)) != Z_OK)
            return fail_changed(g, err);
    }
    if (place->window > 0 && inflateSetDictionary(&g->z, place->before, place->window) != Z_OK)
        return fail_changed(g, err);
    return FUSE_OK;
}

/* From the end of a member to the next one. */
static enum fuse_status next_member(struct fuse_gunzip *g, struct fuse_error *err) {
    for (int skip = g->is_raw ? TRAILER_BYTES : 0; skip > 0;) {
        if (g->z.avail_in == 0 && g->packed.loaded < g->packed.bytes)
            FUSE_TRY(load(&g->packed, &g->z, err));
        if (g->z.avail_in == 0)
            return fail_changed(g, err);
        uInt part = g->z.avail_in < (uInt)skip ? g->z.avail_in : (uInt)skip;
        g->z.next_in += part;
        g->z.avail_in -= part;
        skip -= (int)part;
    }
    g->is_raw = g->has_ended = false;
    return inflateReset2(&g->z, GZIP) == Z_OK ? FUSE_OK : fail_changed(g, err);
}

/* To `to`, or to nowhere when it is NULL. */
static enum fuse_status unpack(struct fuse_gunzip *g, unsigned char *to, int64_t bytes, struct fuse_error *err) {
    while (bytes > 0) {
        if (g->has_ended)
            FUSE_TRY(next_member(g, err));
        if (g->z.avail_in == 0 && g->packed.loaded < g->packed.bytes)
            FUSE_TRY(load(&g->packed, &g->z, err));
        uInt had = g->z.avail_in, room = bytes < BUFFER_BYTES ? (uInt)bytes : BUFFER_BYTES;
        g->z.next_out = to ? to : g->skipped;
        g->z.avail_out = room;
        int code = inflate(&g->z, Z_NO_FLUSH);
        int64_t got = room - g->z.avail_out;
        if (code == Z_MEM_ERROR)
            return fail_memory(g->packed.path, err);
        if ((code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) || (got == 0 && had == 0))
            return fail_changed(g, err);
        g->has_ended = code == Z_STREAM_END;
        g->out += got;
        bytes -= got;
        to = to ? to + got : NULL;
    }
    return FUSE_OK;
}

static enum fuse_status read_unpacked(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                      struct fuse_error *err) {
    struct fuse_gunzip *g = (struct fuse_gunzip *)self;
    const struct fuse_gunzip_place *place = g->index->place;
    if (offset < 0 || offset > g->index->bytes || (int64_t)bytes > g->index->bytes - offset)
        return fuse_fail(err, FUSE_EBUG, "%s: bytes behind its end are asked for", g->packed.path);
    if (bytes == 0)
        return FUSE_OK;
    for (int i = 1; i < g->index->places && g->index->place[i].out <= offset; i++)
        place = &g->index->place[i];
    if (!g->is_open || g->out < place->out || g->out > offset)
        FUSE_TRY(go_to(g, place, err));
    FUSE_TRY(unpack(g, NULL, offset - g->out, err));
    return unpack(g, to, (int64_t)bytes, err);
}

enum fuse_status fuse_gunzip_open(struct fuse_gunzip **out, int fd, const struct fuse_gunzip_index *index,
                                  const char *path, struct fuse_error *err) {
    struct fuse_gunzip *g = calloc(1, sizeof *g);
    if (!g)
        return fail_memory(path, err);
    g->bytes.read = read_unpacked;
    g->packed = (struct packed){.fd = fd, .bytes = index->packed, .path = path, .buffer = malloc(BUFFER_BYTES)};
    g->skipped = malloc(BUFFER_BYTES);
    g->index = index;
    if (!g->packed.buffer || !g->skipped) {
        fuse_gunzip_close(g);
        return fail_memory(path, err);
    }
    *out = g;
    return FUSE_OK;
}

void fuse_gunzip_close(struct fuse_gunzip *g) {
    if (!g)
        return;
    if (g->is_open)
        inflateEnd(&g->z);
    free(g->packed.buffer);
    free(g->skipped);
    free(g);
}
