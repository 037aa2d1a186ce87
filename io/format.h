/* Files as sources and sinks: one table of formats.
 *
 * A source is read, and a sink written, by boxes: every rank asks for the boxes that the plan gives it, and a format
 * turns a box into contiguous runs of its file. Nothing here holds a whole tensor. Paths are already resolved (root,
 * output root) by the caller; `part` is what follows the file name in "file.h5:/group/set", or NULL; only formats with
 * parts see one.
 * INPUT: a source is missing or bad. OUTPUT: a sink cannot be created. IO: reading or writing failed half-way. */
#ifndef FUSE_IO_FORMAT_H
#define FUSE_IO_FORMAT_H

#include "comm/comm.h"
#include "core/arena.h"
#include "core/box.h"
#include "core/error.h"
#include "core/probe.h"
#include "io/fields.h"

struct fuse_source;     /* an open source */
struct fuse_sink;       /* a file being written, with one member or several */
struct fuse_row_source; /* an open file of rows */
struct fuse_output_file;
struct fuse_symbols; /* the symbols of a program: io/symbols.h */

/* How an array lies in a file that is to be written, for formats that leave a choice; zeroed: as suits the format. */
struct fuse_sink_storage {
    int64_t
        chunk[FUSE_MAX_AXES]; /* extents of the pieces that are stored each on its own; 0 on all axes: not in pieces */
    int gzip;                 /* level 1 to 9 of their compression, 0: none. Without chunks the format chooses them */
};

/* One array of a file that is to be written. What a format has no room for it leaves out. */
struct fuse_sink_member {
    const char *part; /* NULL: the file's default one */
    enum fuse_dtype dtype;
    int rank;
    int64_t extent[FUSE_MAX_AXES];
    bool ranking;           /* pairs (position, value) along the last axis, for formats that have a form for rankings */
    enum fuse_dtype ranked; /* .. values of this type, here in dtype */
    const char *tensor;     /* its name in the program, NULL: it has none */
    const char *axis[FUSE_MAX_AXES]; /* names of its axes, NULL: that one has none */
    /* Symbols of an axis whose positions have names: one more than the number of the table, 0: none. */
    const struct fuse_symbols *symbols;
    int table[FUSE_MAX_AXES];
    struct fuse_sink_storage storage;
    bool is_tuples; /* it comes as tuples, by sink_tuples; for formats that have it */
    double absent;  /* of a dense tensor of reals: cells that lists of tuples leave out, an infinity or 0 */
};

/* Tuples, column by column. */
struct fuse_tuple_rows {
    int64_t n;
    const int64_t *id[FUSE_MAX_AXES]; /* [n] each */
    const void *value;                /* [n] of the member's dtype; NULL: BOOL */
};

/* A file that is to be written, the same on every rank. Borrowed while it is opened. */
struct fuse_sink_file {
    const char *path;
    const struct fuse_sink_member *member;
    int members;                   /* several only for formats with parts; their parts are canonical and differ */
    const char *program, *version; /* digest of the program's text, version of fuse-dist; NULL: unknown */
};

/* What a file holds, for `info` and `convert`. */
struct fuse_attribute {
    const char *name, *text; /* text: any characters, one line or several */
};
struct fuse_part {
    const char *name;     /* what follows the file in "file:name" */
    const char *storage;  /* how its bytes lie, where that is a choice: "deflated", "chunks [64, 64], gzip 4"; NULL */
    const char *refused;  /* why it cannot be a source; NULL: it can, and then the probe is set */
    int64_t stored_bytes; /* in the file; -1: unknown */
    struct fuse_probe probe; /* what `probe` says of "file:name" */
    FUSE_VEC(struct fuse_attribute) attributes;
};
struct fuse_contents {
    FUSE_VEC(struct fuse_part) parts; /* in the file's order */
    FUSE_VEC(struct fuse_attribute) attributes;
};

struct fuse_format {
    const char *name;
    const char *const *suffixes; /* ".npy", NULL-terminated */
    bool stores_chunks;          /* sinks follow struct fuse_sink_storage */
    bool has_parts;              /* "file:part" selects, and several sinks share a file */
    bool is_flat; /* the elements lie in the file as they do in memory, but perhaps for their byte order */
    /* source_read and sink_write touch nothing but their file and memory, send no messages, and may be called from another
     * thread than the rest, one at a time for each file: files are then read and written while the ranks compute. */
    bool is_independent;
    /* Local, pure; only formats with parts. The canonical spelling of a part of a sink (NULL: the default one), equal for
     * two parts that are the same place; NULL with a reason in *err (OUTPUT) when nothing can be written there. */
    const char *(*sink_part)(struct fuse_arena *arena, const char *part, struct fuse_error *err);
    /* Local, pure; NULL: every one. OUTPUT when a sink at `path` cannot hold the dtype. */
    enum fuse_status (*sink_holds)(enum fuse_dtype dtype, const char *path, struct fuse_error *err);

    /* Local, O(1) in the file's size: header facts, every field bounded and checked against the file's size. */
    enum fuse_status (*probe)(struct fuse_probe *out, const char *path, const char *part, struct fuse_error *err);
    /* Local; formats with parts only. All parts of the file, its strings in the arena. INPUT when the file is not of this
     * format; a part that is bad has the reason in `refused`. Reads headers, not elements. */
    enum fuse_status (*list_parts)(struct fuse_contents *out, struct fuse_arena *arena, const char *path,
                                   struct fuse_error *err);
    /* Collective; NULL where the header tells everything. Completes the probe that rank 0 made by reading the file, each
     * rank a part of its bytes; the result is the same on every rank but for probe->index, which lives in the arena. */
    enum fuse_status (*scan)(struct fuse_probe *probe, struct fuse_arena *arena, struct fuse_comm *comm,
                             const char *path, const char *part, struct fuse_error *err);
    /* Local. The probe is the one that was made: a file that has changed since (size, header) is INPUT. */
    enum fuse_status (*source_open)(struct fuse_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, struct fuse_error *err);
    /* Local. Reads the elements of `box` (in the tensor's axes) into `to`, whose extents are the box's and whose dtype is
     * fuse_dtype_resident(probe.file_dtype); converts byte order and file-only dtypes (a U64 beyond I64: INPUT). Host
     * memory, any strides. Cheapest when the boxes of different calls follow each other in file order. */
    enum fuse_status (*source_read)(struct fuse_source *source, const struct fuse_box *box, const struct fuse_view *to,
                                    struct fuse_error *err);
    /* Collective, after the last read; NULL where nothing remains to be checked. Every rank takes part in its messages
     * whatever failed before; the statuses may differ: agree on them. */
    enum fuse_status (*source_finish)(struct fuse_source *source, struct fuse_comm *comm, struct fuse_error *err);
    void (*source_close)(struct fuse_source *source);

    /* Files of rows (their scan makes probe->tally; they have no source_*). NULL for the others.
     *
     * Local. Share `share` of `shares`: contiguous, and together all rows, each once. With has_value the last column is the
     * value of a numeric relation; else all are ids. A file that has changed since the probe (size) is INPUT. */
    enum fuse_status (*rows_open)(struct fuse_row_source **out, const char *path, const char *part,
                                  const struct fuse_probe *probe, bool has_value, int share, int shares,
                                  struct fuse_error *err);
    /* Local. The next rows of the share, in file order: sets rows->n, at most rows->most, 0 behind the last. What the scan
     * would not have passed is INPUT. */
    enum fuse_status (*rows_next)(struct fuse_row_source *source, struct fuse_rows *rows, struct fuse_error *err);
    void (*rows_close)(struct fuse_row_source *source); /* NULL is fine */

    /* The same rows while their symbols are not ids yet. fields->columns, is_symbolic and has_value are set. */
    enum fuse_status (*fields_open)(struct fuse_field_source **out, const char *path, const char *part,
                                    const struct fuse_probe *probe, const struct fuse_fields *fields, int share,
                                    int shares, struct fuse_error *err);
    /* Local. The next rows of the share; none and a good end behind the last. */
    enum fuse_status (*fields_next)(struct fuse_field_source *source, struct fuse_fields *fields,
                                    struct fuse_error *err);
    void (*fields_close)(struct fuse_field_source *source); /* NULL is fine */

    /* Collective. Rank 0 creates a temporary file beside the path, then all open it. */
    enum fuse_status (*sink_open)(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *file,
                                  struct fuse_error *err);
    /* Local. Boxes of different calls and ranks do not overlap. */
    enum fuse_status (*sink_write)(struct fuse_sink *sink, int member, const struct fuse_box *box,
                                   const struct fuse_view *from, struct fuse_error *err);
    /* Local; NULL for formats that hold no tuples. Tuples [first, first + rows->n) of `total` in the order of their ids, for a
     * member that is_tuples; every rank calls it at least once. */
    enum fuse_status (*sink_tuples)(struct fuse_sink *sink, int member, int64_t first, int64_t total,
                                    const struct fuse_tuple_rows *rows, struct fuse_error *err);
    /* Collective, when all of every member was written. Completes, flushes and closes; after it only release.
     * Every rank takes part in its messages whatever fails; the statuses may differ: agree on them. */
    enum fuse_status (*sink_finish)(struct fuse_sink *sink, struct fuse_comm *comm, struct fuse_error *err);
    /* Local. Frees the sink; returns its output file to be committed or discarded. NULL is fine. */
    struct fuse_output_file *(*sink_release)(struct fuse_sink *sink);
};

extern const struct fuse_format fuse_format_npy;
extern const struct fuse_format fuse_format_coo; /* ".npy:coo" is its suffix */
extern const struct fuse_format fuse_format_npz;
extern const struct fuse_format fuse_format_hdf5;
extern const struct fuse_format fuse_format_hdf5_coo; /* parts of .h5 that end in ":coo" */
extern const struct fuse_format fuse_format_safetensors;
extern const struct fuse_format fuse_format_json;
extern const struct fuse_format fuse_format_jsonl;
extern const struct fuse_format fuse_format_tsv;
extern const struct fuse_format fuse_format_words; /* a relation of position and token */
/* A list of symbols, one a line: `axis x = "names.txt"`. Fields only; not in the table. */
extern const struct fuse_format fuse_format_names;

/* Local, after sink_finish, and when all ranks finished well; does something on rank 0 only: renames to the final name. Frees,
 * also on failure (OUTPUT). */
enum fuse_status fuse_sink_commit(const struct fuse_format *format, struct fuse_sink *sink,
                                  struct fuse_error *err) FUSE_CHECKED;
/* Local; rank 0 removes the temporary file. Frees; NULL is fine. */
void fuse_sink_discard(const struct fuse_format *format, struct fuse_sink *sink);

/* The format for a path by its suffix (case-insensitive), NULL when there is none. */
const struct fuse_format *fuse_format_find(const char *path);
/* Whether a part says that it is a relation: "coo", or ":coo" behind its name. NULL is fine. */
bool fuse_format_is_relation(const char *part);
/* The format for a part of a file, which is another one for a relation in a file with parts; NULL when there is none. */
const struct fuse_format *fuse_format_of(const char *path, const char *part);
/* The i-th format of the table, NULL behind the last. */
const struct fuse_format *fuse_format_at(int i);

#endif
