#include "io/inflate_bytes.h"

#include "io/rawfile.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { INPUT_BYTES = 256 << 10, SKIP_BYTES = 256 << 10, STATES = 16, MIN_SPACING = 4 << 20 };

/* What it takes to go on inflating from a position; zlib's copy has the window of 32 KiB in it. */
struct state {
    z_stream stream;
    int64_t position; /* unpacked bytes so far */
    int64_t taken;    /* packed bytes consumed */
    bool has_ended;   /* the stream said so itself */
    bool is_used;
};

struct fuse_inflate_bytes {
    struct fuse_bytes bytes;
    int fd;
    int64_t begin, packed, total;
    uint32_t want_crc;
    const char *name;

    struct state now;
    int64_t loaded; /* packed bytes read from the file */
    uint32_t crc;   /* of the first `checked` bytes */
    int64_t checked;
    struct state saved[STATES]; /* at multiples of the spacing, as far as the cursor got */
    int64_t spacing;
    unsigned char *input, *skipped;
};

static enum fuse_status refill(struct fuse_inflate_bytes *s, struct fuse_error *err) {
    int64_t left = s->packed - s->loaded;
    size_t bytes = left < INPUT_BYTES ? (size_t)left : INPUT_BYTES;
    FUSE_TRY(fuse_rawfile_read(s->fd, s->input, bytes, s->begin + s->loaded, s->name, err));
    s->loaded += (int64_t)bytes;
    s->now.stream.next_in = s->input;
    s->now.stream.avail_in = (uInt)bytes;
    return FUSE_OK;
}

static enum fuse_status advise(enum fuse_status st, struct fuse_error *err) {
    fuse_hint(err, "copy or write the file again");
    return st;
}

static enum fuse_status fail_data(const struct fuse_inflate_bytes *s, struct fuse_error *err) {
    return advise(fuse_fail(err, FUSE_EINPUT, "%s: its deflated data are damaged behind byte %lld of %lld", s->name,
                            (long long)s->now.position, (long long)s->total),
                  err);
}

/* Up to `bytes` more bytes, at least one, or none with *at_end. */
static enum fuse_status inflate_some(struct fuse_inflate_bytes *s, void *to, size_t bytes, size_t *got, bool *at_end,
                                     struct fuse_error *err) {
    z_stream *z = &s->now.stream;
    *got = 0;
    *at_end = false;
    while (*got == 0 && !*at_end) {
        if (z->avail_in == 0)
            FUSE_TRY(refill(s, err));
        uInt had = z->avail_in, room = bytes < SKIP_BYTES ? (uInt)bytes : SKIP_BYTES;
        z->next_out = to;
        z->avail_out = room;
        int code = inflate(z, Z_NO_FLUSH);
        *got = room - z->avail_out;
        s->now.taken += had - z->avail_in;
        if (code == Z_MEM_ERROR)
            return fuse_fail(err, FUSE_EMEMORY, "no memory to inflate %s", s->name);
        *at_end = code == Z_STREAM_END;
        bool is_stuck = *got == 0 && had == z->avail_in;
        if ((code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) || (is_stuck && !*at_end))
            return fail_data(s, err);
    }
    if (s->now.position + (int64_t)*got > s->checked) {
        size_t known = (size_t)(s->checked - s->now.position);
        s->crc = (uint32_t)crc32(s->crc, (unsigned char *)to + known, (uInt)(*got - known));
        s->checked = s->now.position + (int64_t)*got;
    }
    s->now.position += (int64_t)*got;
    s->now.has_ended = *at_end;
    return FUSE_OK;
}

static enum fuse_status save(struct fuse_inflate_bytes *s, int slot, struct fuse_error *err) {
    struct state *state = &s->saved[slot];
    *state = s->now;
    if (inflateCopy(&state->stream, &s->now.stream) != Z_OK)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to inflate %s", s->name);
    state->is_used = true;
    return FUSE_OK;
}

/* Exactly `bytes` bytes to `to`, or to nowhere when it is NULL. */
static enum fuse_status advance(struct fuse_inflate_bytes *s, unsigned char *to, int64_t bytes,
                                struct fuse_error *err) {
    while (bytes > 0) {
        int64_t slot = s->now.position / s->spacing;
        if (s->now.position % s->spacing == 0 && slot < STATES && !s->saved[slot].is_used)
            FUSE_TRY(save(s, (int)slot, err));
        int64_t part = s->spacing - s->now.position % s->spacing;
        part = part < bytes ? part : bytes;
        part = to || part < SKIP_BYTES ? part : SKIP_BYTES;
        size_t got;
        bool at_end;
        FUSE_TRY(inflate_some(s, to ? to : s->skipped, (size_t)part, &got, &at_end, err));
        bytes -= (int64_t)got;
        to = to ? to + got : NULL;
        if (at_end && bytes > 0)
            return advise(fuse_fail(err, FUSE_EINPUT,
                                    "%s inflates to %lld bytes, not to the %lld that the directory says", s->name,
                                    (long long)s->now.position, (long long)s->total),
                          err);
    }
    return FUSE_OK;
}

static enum fuse_status go_back(struct fuse_inflate_bytes *s, int64_t offset, struct fuse_error *err) {
    int64_t slot = offset / s->spacing;
    slot = slot < STATES ? slot : STATES - 1;
    while (slot > 0 && !s->saved[slot].is_used)
        slot--;
    inflateEnd(&s->now.stream);
    s->now = s->saved[slot];
    if (inflateCopy(&s->now.stream, &s->saved[slot].stream) != Z_OK) {
        s->now.is_used = false;
        return fuse_fail(err, FUSE_EMEMORY, "no memory to inflate %s", s->name);
    }
    s->now.stream.avail_in = 0;
    s->loaded = s->now.taken;
    return FUSE_OK;
}

static enum fuse_status read_inflated(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                      struct fuse_error *err) {
    struct fuse_inflate_bytes *s = (struct fuse_inflate_bytes *)self;
    if (bytes == 0)
        return FUSE_OK;
    if (offset < s->now.position)
        FUSE_TRY(go_back(s, offset, err));
    FUSE_TRY(advance(s, NULL, offset - s->now.position, err));
    return advance(s, to, (int64_t)bytes, err);
}

enum fuse_status fuse_inflate_open(struct fuse_inflate_bytes **out, int fd, int64_t begin, int64_t packed,
                                   int64_t total, uint32_t crc, const char *name, struct fuse_error *err) {
    struct fuse_inflate_bytes *s = calloc(1, sizeof *s);
    if (!s)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to inflate %s", name);
    s->bytes.read = read_inflated;
    s->fd = fd;
    s->begin = begin;
    s->packed = packed;
    s->total = total;
    s->want_crc = crc;
    s->name = name;
    s->spacing = total / STATES + 1 > MIN_SPACING ? total / STATES + 1 : MIN_SPACING;
    s->input = malloc(INPUT_BYTES);
    s->skipped = malloc(SKIP_BYTES);
    /* Negative: a bare deflate stream without a header. Saved state 0 is the beginning. */
    bool is_open = s->input && s->skipped && inflateInit2(&s->now.stream, -MAX_WBITS) == Z_OK;
    s->now.is_used = is_open;
    enum fuse_status st = is_open ? save(s, 0, err) : fuse_fail(err, FUSE_EMEMORY, "no memory to inflate %s", name);
    if (st == FUSE_OK)
        *out = s;
    else
        fuse_inflate_close(s);
    return st;
}

void fuse_inflate_close(struct fuse_inflate_bytes *s) {
    if (!s)
        return;
    if (s->now.is_used)
        inflateEnd(&s->now.stream);
    for (int i = 0; i < STATES; i++)
        if (s->saved[i].is_used)
            inflateEnd(&s->saved[i].stream);
    free(s->input);
    free(s->skipped);
    free(s);
}

static enum fuse_status check_end(struct fuse_inflate_bytes *s, struct fuse_error *err) {
    if (s->checked > s->now.position)
        FUSE_TRY(go_back(s, s->checked, err));
    FUSE_TRY(advance(s, NULL, s->total - s->now.position, err));
    /* The end of the stream may need another call, which must not bring another byte. */
    unsigned char more;
    size_t got = 0;
    bool at_end;
    uint32_t crc = s->crc;
    if (!s->now.has_ended)
        FUSE_TRY(inflate_some(s, &more, 1, &got, &at_end, err));
    if (got > 0)
        return advise(fuse_fail(err, FUSE_EINPUT, "%s inflates to more than the %lld bytes that the directory says",
                                s->name, (long long)s->total),
                      err);
    if (s->now.taken != s->packed)
        return advise(fuse_fail(err, FUSE_EINPUT, "%s: its deflated data end %lld bytes early", s->name,
                                (long long)(s->packed - s->now.taken)),
                      err);
    if (crc != s->want_crc)
        return advise(fuse_fail(err, FUSE_EINPUT, "%s is damaged: its CRC-32 is %08x, the directory says %08x", s->name,
                                crc, s->want_crc),
                      err);
    return FUSE_OK;
}

enum fuse_status fuse_inflate_finish(struct fuse_inflate_bytes *s, struct fuse_comm *comm, struct fuse_error *err) {
    int64_t farthest = s->checked;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MAX, &farthest, 1, err));
    int64_t first = farthest == s->checked ? comm->rank : comm->size;
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &first, 1, err));
    return first == comm->rank ? check_end(s, err) : FUSE_OK;
}
