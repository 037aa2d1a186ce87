/* .npz: npy files in a zip archive. Stored members are read in place like npy files; deflated ones are inflated by each
 * rank up to where its ranges end. Members are written stored, by all ranks at once: their places follow from their shapes,
 * and their checksums are put together from those of the ranges. */
#include "io/format.h"

#include "io/array.h"
#include "io/crc_parts.h"
#include "io/inflate_bytes.h"
#include "io/npy_header.h"
#include "io/output_file.h"
#include "io/rawfile.h"
#include "io/zip_directory.h"

#include "core/hash.h"
#include "core/text.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char default_member[] = "arr_0.npy";

/* A range of a file whose checksum is taken in passing. */
struct checked_bytes {
    struct fuse_bytes bytes;
    struct fuse_file_bytes file;
    struct fuse_crc_parts parts;
};

/* Read and summed up while in cache. */
enum { SUM_BYTES = 256 << 10 };

static enum fuse_status read_checked(struct fuse_bytes *self, void *to, size_t bytes, int64_t offset,
                                     struct fuse_error *err) {
    struct checked_bytes *checked = (struct checked_bytes *)self;
    for (size_t done = 0; done < bytes; done += SUM_BYTES) {
        size_t part = bytes - done < SUM_BYTES ? bytes - done : SUM_BYTES;
        char *at = (char *)to + done;
        int64_t begin = offset + (int64_t)done;
        FUSE_TRY(checked->file.bytes.read(&checked->file.bytes, at, part, begin, err));
        fuse_crc_parts_add(&checked->parts, at, part, begin);
    }
    return FUSE_OK;
}

static enum fuse_status write_checked(struct fuse_bytes *self, const void *from, size_t bytes, int64_t offset,
                                      struct fuse_error *err) {
    struct checked_bytes *checked = (struct checked_bytes *)self;
    fuse_crc_parts_add(&checked->parts, from, bytes, offset);
    return checked->file.bytes.write(&checked->file.bytes, from, bytes, offset, err);
}

static struct checked_bytes checked_bytes(int fd, int64_t begin, int64_t bytes, const char *name) {
    return (struct checked_bytes){
        .bytes = {.read = read_checked, .write = write_checked},
        .file = fuse_file_bytes(fd, begin, name),
        .parts = fuse_crc_parts(bytes),
    };
}

/* ---- finding a member ---- */

static enum fuse_status fail_member(const struct fuse_zip_directory *directory, struct fuse_arena *arena,
                                    const char *path, const char *part, struct fuse_error *err) {
    enum { SHOWN_BYTES = 300 };
    struct fuse_text names = {.arena = arena};
    int i = 0;
    for (; i < directory->members && names.bytes < SHOWN_BYTES; i++)
        fuse_text_add(&names, "%s%.60s", i ? ", " : "", directory->member[i].name);
    if (i < directory->members)
        fuse_text_add(&names, " and %d more", directory->members - i);
    enum fuse_status st =
        directory->members == 0 ? fuse_fail(err, FUSE_EINPUT, "%s has no members", path)
        : part                  ? fuse_fail(err, FUSE_EINPUT, "%s has no member '%s'", path, part)
               : fuse_fail(err, FUSE_EINPUT, "%s has %d members and none is called arr_0: say which one is meant", path,
                           directory->members);
    if (directory->members > 0)
        fuse_hint(err, "its members are %s%s", names.at, part ? "" : "; write \"file.npz:member\"");
    return st;
}

/* Its number, -1 when there is none, -2 when there are several of that name. */
static int find_name(const struct fuse_zip_directory *directory, const char *name) {
    int found = -1;
    for (int i = 0; i < directory->members; i++)
        if (strcmp(directory->member[i].name, name) == 0)
            found = found == -1 ? i : -2;
    return found;
}

/* As numpy.load does: the name as it stands, then with ".npy" behind it. */
static enum fuse_status find_member(struct fuse_zip_member **out, const struct fuse_zip_directory *directory,
                                    struct fuse_arena *arena, const char *path, const char *part,
                                    struct fuse_error *err) {
    int found = part ? find_name(directory, part) : -1;
    if (found == -1)
        found = find_name(directory, part ? fuse_arena_printf(arena, "%s.npy", part) : default_member);
    if (found == -1 && !part && directory->members == 1)
        found = 0;
    if (found == -1)
        return fail_member(directory, arena, path, part, err);
    if (found < 0)
        return fuse_fail(err, FUSE_EINPUT, "%s has several members called '%s'", path, part ? part : "arr_0");
    *out = &directory->member[found];
    return FUSE_OK;
}

/* ---- sources ---- */

struct npz_source {
    int fd;
    int64_t file_bytes;
    char *name; /* "file.npz:member", for messages */
    struct fuse_arena *arena;
    struct fuse_zip_member member;
    struct checked_bytes stored;
    struct fuse_inflate_bytes *deflated;
    struct fuse_array array;
};

static void close_source(struct fuse_source *handle) {
    struct npz_source *source = (struct npz_source *)handle;
    if (!source)
        return;
    if (source->fd >= 0)
        close(source->fd);
    fuse_inflate_close(source->deflated);
    fuse_array_close(&source->array);
    fuse_arena_close(source->arena);
    free(source);
}

static uint64_t digest_member(const struct fuse_zip_member *member) {
    uint64_t digest = fuse_hash_string(FUSE_HASH_SEED, member->name);
    digest = fuse_hash_int(fuse_hash_int(digest, member->crc), member->method);
    return fuse_hash_int(fuse_hash_int(digest, member->packed_bytes), member->data);
}

static struct fuse_bytes *member_bytes(struct npz_source *source) {
    return source->deflated ? (struct fuse_bytes *)source->deflated : &source->stored.bytes;
}

static enum fuse_status open_data(struct npz_source *source, struct fuse_zip_member *member, const char *path,
                                  struct fuse_error *err) {
    struct fuse_file_bytes file = fuse_file_bytes(source->fd, 0, path);
    FUSE_TRY(fuse_zip_locate(member, &file.bytes, path, err));
    source->member = *member;
    source->name = fuse_arena_printf(source->arena, "%s:%s", path, member->name);
    if (member->method == FUSE_ZIP_DEFLATED)
        return fuse_inflate_open(&source->deflated, source->fd, member->data, member->packed_bytes, member->bytes,
                                 member->crc, source->name, err);
    source->stored = checked_bytes(source->fd, member->data, member->bytes, source->name);
    return FUSE_OK;
}

static enum fuse_status open_directory(struct npz_source *source, struct fuse_zip_directory *directory,
                                       const char *path, struct fuse_error *err) {
    FUSE_TRY(fuse_rawfile_open(&source->fd, &source->file_bytes, path, err));
    struct fuse_file_bytes file = fuse_file_bytes(source->fd, 0, path);
    return fuse_zip_read(directory, source->arena, &file.bytes, source->file_bytes, path, err);
}

static enum fuse_status open_member(struct npz_source *source, const char *path, const char *part,
                                    struct fuse_error *err) {
    struct fuse_zip_directory directory;
    struct fuse_zip_member *member = NULL;
    FUSE_TRY(open_directory(source, &directory, path, err));
    FUSE_TRY(find_member(&member, &directory, source->arena, path, part, err));
    return open_data(source, member, path, err);
}

static enum fuse_status probe_opened(struct fuse_probe *probe, struct npz_source *source, struct fuse_error *err) {
    /* What is read here is read by every rank, and counts for the checksum once, at the end. */
    struct fuse_file_bytes plain = source->stored.file;
    struct fuse_bytes *bytes = source->deflated ? member_bytes(source) : &plain.bytes;
    FUSE_TRY(fuse_npy_header_read(probe, bytes, source->member.bytes, source->name, err));
    probe->file_bytes = source->file_bytes;
    probe->digest = digest_member(&source->member);
    return FUSE_OK;
}

/* Opens a member and reads its npy header. */
static enum fuse_status open_and_probe(struct npz_source **out, struct fuse_probe *probe, const char *path,
                                       const char *part, struct fuse_error *err) {
    struct npz_source *source = calloc(1, sizeof *source);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    if (!source || !arena) {
        free(source);
        fuse_arena_close(arena);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    source->fd = -1;
    source->arena = arena;
    enum fuse_status st;
    FUSE_TRY_GOTO(st, open_member(source, path, part, err), close_it);
    FUSE_TRY_GOTO(st, probe_opened(probe, source, err), close_it);
    *out = source;
    return FUSE_OK;

close_it:
    close_source((struct fuse_source *)source);
    return st;
}

static enum fuse_status probe_npz(struct fuse_probe *out, const char *path, const char *part, struct fuse_error *err) {
    struct npz_source *source;
    FUSE_TRY(open_and_probe(&source, out, path, part, err));
    close_source((struct fuse_source *)source);
    return FUSE_OK;
}

/* "w.npy" is the part "w", as numpy.load shows it, unless there is a member of that name. */
static const char *shown_name(const struct fuse_map *names, struct fuse_arena *arena, const char *name) {
    size_t bytes = strlen(name);
    int64_t times;
    if (bytes <= 4 || strcmp(name + bytes - 4, ".npy") != 0)
        return name;
    const char *shown = fuse_arena_strndup(arena, name, bytes - 4);
    return fuse_map_get(names, shown, &times) ? name : shown;
}

static void count_names(struct fuse_map *names, const struct fuse_zip_directory *directory) {
    for (int i = 0; i < directory->members; i++) {
        int64_t times = 0;
        fuse_map_get(names, directory->member[i].name, &times);
        fuse_map_put(names, directory->member[i].name, times + 1);
    }
}

static struct fuse_part list_part(struct npz_source *source, struct fuse_zip_member *member,
                                  const struct fuse_map *names, const char *path) {
    struct fuse_part part = {.name = shown_name(names, source->arena, member->name),
                             .storage = member->method == FUSE_ZIP_DEFLATED ? "deflated" : NULL,
                             .stored_bytes = member->packed_bytes};
    struct fuse_error why = {0};
    int64_t times = 0;
    fuse_map_get(names, member->name, &times);
    if (times > 1)
        part.refused = "there are several members of this name";
    else if (open_data(source, member, path, &why) != FUSE_OK || probe_opened(&part.probe, source, &why) != FUSE_OK)
        part.refused = fuse_arena_printf(source->arena, "%s", why.message);
    fuse_inflate_close(source->deflated);
    source->deflated = NULL;
    return part;
}

static enum fuse_status list_parts(struct fuse_contents *out, struct fuse_arena *arena, const char *path,
                                   struct fuse_error *err) {
    struct npz_source source = {.fd = -1, .arena = arena};
    struct fuse_zip_directory directory = {0};
    struct fuse_map names = {.arena = arena};
    enum fuse_status st = open_directory(&source, &directory, path, err);
    if (st == FUSE_OK)
        count_names(&names, &directory);
    for (int i = 0; i < directory.members && st == FUSE_OK; i++)
        fuse_vec_push(arena, &out->parts, list_part(&source, &directory.member[i], &names, path));
    if (source.fd >= 0)
        close(source.fd);
    return st;
}

static enum fuse_status open_source(struct fuse_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err) {
    struct npz_source *source;
    struct fuse_probe now;
    FUSE_TRY(open_and_probe(&source, &now, path, part, err));
    enum fuse_status st = FUSE_OK;
    if (!fuse_probe_equal(&now, probe))
        st = fuse_fail(err, FUSE_EINPUT, "%s changed after it was probed", path);
    if (st == FUSE_OK)
        st = fuse_array_open_probed(&source->array, probe, member_bytes(source), source->name, err);
    if (st == FUSE_OK)
        *out = (struct fuse_source *)source;
    else
        close_source((struct fuse_source *)source);
    return st;
}

static enum fuse_status read_source(struct fuse_source *handle, const struct fuse_box *box, const struct fuse_view *to,
                                    struct fuse_error *err) {
    return fuse_array_read(&((struct npz_source *)handle)->array, box, to, err);
}

/* Reads this rank's even share of a stored member for its checksum alone. */
static enum fuse_status sum_share(struct npz_source *source, const struct fuse_comm *comm, struct fuse_error *err) {
    int64_t begin = fuse_split_begin(source->member.bytes, comm->size, comm->rank);
    int64_t end = fuse_split_begin(source->member.bytes, comm->size, comm->rank + 1);
    source->stored.parts = fuse_crc_parts(source->member.bytes);
    char *buffer = malloc(SUM_BYTES);
    if (!buffer)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to check %s", source->name);
    enum fuse_status st = FUSE_OK;
    for (int64_t at = begin; at < end && st == FUSE_OK; at += SUM_BYTES)
        st =
            read_checked(&source->stored.bytes, buffer, (size_t)(end - at < SUM_BYTES ? end - at : SUM_BYTES), at, err);
    free(buffer);
    return st;
}

static enum fuse_status finish_stored(struct npz_source *source, struct fuse_comm *comm, struct fuse_error *err) {
    struct checked_bytes *stored = &source->stored;
    enum fuse_status local = FUSE_OK;
    if (comm->rank == 0) {
        char *header = malloc((size_t)source->array.offset);
        local = header ? read_checked(&stored->bytes, header, (size_t)source->array.offset, 0, err)
                       : fuse_fail(err, FUSE_EMEMORY, "no memory to check %s", source->name);
        free(header);
    }
    FUSE_TRY(fuse_crc_parts_join(&stored->parts, comm, err));
    if (!fuse_crc_parts_is_whole(&stored->parts)) {
        /* Some bytes were read by several ranks, or over gaps by none: the same verdict on all. */
        enum fuse_status shared = sum_share(source, comm, err);
        local = local == FUSE_OK ? shared : local;
        FUSE_TRY(fuse_crc_parts_join(&stored->parts, comm, err));
    }
    if (local == FUSE_OK && stored->parts.crc != source->member.crc) {
        local = fuse_fail(err, FUSE_EINPUT, "%s is damaged: its CRC-32 is %08x, the directory says %08x", source->name,
                          stored->parts.crc, source->member.crc);
        fuse_hint(err, "copy or write the file again");
    }
    return local;
}

static enum fuse_status finish_source(struct fuse_source *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct npz_source *source = (struct npz_source *)handle;
    return source->deflated ? fuse_inflate_finish(source->deflated, comm, err) : finish_stored(source, comm, err);
}

/* ---- sinks ---- */

struct npz_member {
    struct checked_bytes bytes;
    struct fuse_array array;
    char npy[FUSE_NPY_WRITE_BYTES]; /* its npy header */
};

struct npz_sink {
    struct fuse_output_file *file;
    struct fuse_arena *arena;
    struct fuse_zip_directory directory;
    struct npz_member *member;
    int64_t directory_begin;
};

static const char *sink_part(struct fuse_arena *arena, const char *part, struct fuse_error *err) {
    if (!part)
        return default_member;
    size_t bytes = strlen(part);
    bool is_npy = bytes >= 4 && strcmp(part + bytes - 4, ".npy") == 0;
    bool is_fine = bytes > (is_npy ? 4 : 0) && bytes + 4 <= FUSE_ZIP_MAX_NAME && !strchr(part, '\\');
    for (const char *at = part; is_fine && *at; at++)
        is_fine = (unsigned char)*at >= ' ' && *at != 127;
    /* What unpacks the archive must not leave the folder that it unpacks into. */
    for (const char *at = part; is_fine;) {
        size_t n = strcspn(at, "/");
        is_fine = n > 0 && !(n == 1 && at[0] == '.') && !(n == 2 && memcmp(at, "..", 2) == 0);
        if (!at[n])
            break;
        at += n + 1;
    }
    if (!is_fine) {
        fuse_fail(err, FUSE_EOUTPUT, "'%.60s' cannot be the name of an npz member", part);
        fuse_hint(err, "names are relative paths without '.', '..', '\\' and control characters");
        return NULL;
    }
    return is_npy ? fuse_arena_strndup(arena, part, bytes) : fuse_arena_printf(arena, "%s.npy", part);
}

static void free_sink(struct npz_sink *sink) {
    if (!sink)
        return;
    for (int i = 0; i < sink->directory.members; i++)
        fuse_array_close(&sink->member[i].array);
    fuse_arena_close(sink->arena);
    free(sink);
}

static enum fuse_status place_member(struct npz_sink *sink, int i, const struct fuse_sink_member *want, int64_t *at,
                                     const char *path, struct fuse_error *err) {
    struct npz_member *member = &sink->member[i];
    struct fuse_zip_member *entry = &sink->directory.member[i];
    int64_t header_bytes, bytes;
    const char *name = want->part ? fuse_arena_strndup(sink->arena, want->part, strlen(want->part)) : default_member;
    const char *shown = fuse_arena_printf(sink->arena, "%s:%s", path, name);
    FUSE_TRY(fuse_npy_layout(member->npy, &header_bytes, &bytes, want->dtype, want->rank, want->extent, shown, err));
    *entry = (struct fuse_zip_member){
        .name = name, .method = FUSE_ZIP_STORED, .packed_bytes = bytes, .bytes = bytes, .header = *at};
    entry->data = fuse_sat_add(*at, fuse_zip_header_bytes(name, bytes));
    *at = fuse_sat_add(entry->data, bytes);
    if (*at == INT64_MAX)
        return fuse_fail(err, FUSE_EOUTPUT, "cannot write %s: it would have more than 2^63 bytes", path);
    return fuse_array_open(&member->array, want->dtype, want->rank, want->extent, header_bytes, &member->bytes.bytes,
                           shown, err);
}

/* This rank's share of opening: where everything goes. */
static enum fuse_status prepare_sink(struct npz_sink **out, int64_t *file_bytes, const struct fuse_sink_file *want,
                                     struct fuse_error *err) {
    const char *path = want->path;
    int members = want->members;
    struct npz_sink *sink = calloc(1, sizeof *sink);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    if (!sink || !arena) {
        free(sink);
        fuse_arena_close(arena);
        return fuse_fail(err, FUSE_EMEMORY, "no memory to open %s", path);
    }
    sink->arena = arena;
    sink->member = FUSE_NEW_ARRAY(arena, struct npz_member, members);
    sink->directory = (struct fuse_zip_directory){.member = FUSE_NEW_ARRAY(arena, struct fuse_zip_member, members),
                                                  .members = members};
    int64_t at = 0;
    enum fuse_status st = FUSE_OK;
    for (int i = 0; i < members && st == FUSE_OK; i++)
        st = place_member(sink, i, &want->member[i], &at, path, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->directory_begin = at;
    *file_bytes = fuse_sat_add(at, fuse_zip_directory_bytes(&sink->directory, at));
    *out = sink;
    return FUSE_OK;
}

static enum fuse_status open_sink(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                  struct fuse_error *err) {
    struct npz_sink *sink = NULL;
    struct fuse_output_file *file;
    int64_t file_bytes = 0;
    enum fuse_status st = prepare_sink(&sink, &file_bytes, want, err);
    st = fuse_output_file_open(&file, comm, st, want->path, NULL, 0, file_bytes, err);
    if (st != FUSE_OK) {
        free_sink(sink);
        return st;
    }
    sink->file = file;
    for (int i = 0; i < sink->directory.members; i++) {
        const struct fuse_zip_member *entry = &sink->directory.member[i];
        sink->member[i].bytes = checked_bytes(file->fd, entry->data, entry->bytes, file->path);
    }
    *out = (struct fuse_sink *)sink;
    return FUSE_OK;
}

static enum fuse_status write_sink(struct fuse_sink *handle, int member, const struct fuse_box *box,
                                   const struct fuse_view *from, struct fuse_error *err) {
    return fuse_array_write(&((struct npz_sink *)handle)->member[member].array, box, from, err);
}

/* Rank 0 writes what is not elements. */
static enum fuse_status write_records(struct npz_sink *sink, struct fuse_error *err) {
    struct fuse_zip_directory *directory = &sink->directory;
    struct fuse_file_bytes file = fuse_file_bytes(sink->file->fd, 0, sink->file->path);
    for (int i = 0; i < directory->members; i++) {
        const struct fuse_zip_member *entry = &directory->member[i];
        size_t bytes = (size_t)(entry->data - entry->header);
        char *header = fuse_arena_alloc(sink->arena, bytes);
        fuse_zip_write_header(header, entry);
        FUSE_TRY(file.bytes.write(&file.bytes, header, bytes, entry->header, err));
    }
    size_t bytes = (size_t)fuse_zip_directory_bytes(directory, sink->directory_begin);
    char *records = fuse_arena_alloc(sink->arena, bytes);
    fuse_zip_write_directory(records, directory, sink->directory_begin);
    return file.bytes.write(&file.bytes, records, bytes, sink->directory_begin, err);
}

static enum fuse_status finish_sink(struct fuse_sink *handle, struct fuse_comm *comm, struct fuse_error *err) {
    struct npz_sink *sink = (struct npz_sink *)handle;
    enum fuse_status local = FUSE_OK, st;
    for (int i = 0; i < sink->directory.members; i++) {
        struct npz_member *member = &sink->member[i];
        if (comm->rank == 0 && local == FUSE_OK)
            local = write_checked(&member->bytes.bytes, member->npy, (size_t)member->array.offset, 0, err);
        st = fuse_crc_parts_join(&member->bytes.parts, comm, err);
        local = local == FUSE_OK ? st : local;
        if (local == FUSE_OK && !fuse_crc_parts_is_whole(&member->bytes.parts))
            local = fuse_fail(err, FUSE_EBUG, "%s was not written as a whole", member->array.name);
        sink->directory.member[i].crc = member->bytes.parts.crc;
    }
    if (comm->rank == 0 && local == FUSE_OK)
        local = write_records(sink, err);
    st = fuse_output_file_finish(sink->file, err);
    return local == FUSE_OK ? st : local;
}

static struct fuse_output_file *release_sink(struct fuse_sink *handle) {
    struct npz_sink *sink = (struct npz_sink *)handle;
    struct fuse_output_file *file = sink ? sink->file : NULL;
    free_sink(sink);
    return file;
}

static const char *const suffixes[] = {".npz", NULL};

const struct fuse_format fuse_format_npz = {
    .name = "npz",
    .suffixes = suffixes,
    .is_independent = true,
    .has_parts = true,
    .sink_part = sink_part,
    .probe = probe_npz,
    .list_parts = list_parts,
    .source_open = open_source,
    .source_read = read_source,
    .source_finish = finish_source,
    .source_close = close_source,
    .sink_holds = fuse_npy_holds,
    .sink_open = open_sink,
    .sink_write = write_sink,
    .sink_finish = finish_sink,
    .sink_release = release_sink,
};
