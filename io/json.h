/* What the JSON format is put together from: sources are in json.c, sinks in json_sink.c. */
#ifndef FUSE_IO_JSON_H
#define FUSE_IO_JSON_H

#include "io/format.h"
#include "io/text_runs.h"

/* An array as a text has it: elements in C order, with something around each. */
struct fuse_json_shape {
    const struct fuse_sink_member *member;
    int64_t elems;
    int64_t inner[FUSE_MAX_AXES]; /* elements of a list of the lists on axis a */
};

/* Room for what stands before or behind an element. */
#define FUSE_JSON_AROUND_BYTES (22 * FUSE_MAX_AXES + 64)

/* How the elements stand in the text: nested lists (json_sink.c), or a line each (jsonl_sink.c). */
struct fuse_json_layout {
    /* Lengths of what stands before and behind element n. */
    size_t (*before)(char *to, const struct fuse_json_shape *shape, int64_t n);
    size_t (*behind)(char *to, const struct fuse_json_shape *shape, int64_t n);
    /* The type as which element n is written. */
    enum fuse_dtype (*shown)(const struct fuse_json_shape *shape, int64_t n);
    /* The text of an array without elements. */
    enum fuse_status (*nothing)(struct fuse_text_runs *text, const struct fuse_json_shape *shape,
                                struct fuse_error *err);
};

/* As in struct fuse_format. Each rank formats the elements that it is given, in the order in which it gets them, into an
 * unnamed file of its own beside the target; when all have, sums over the ranks tell where each run of elements goes. So
 * memory is bounded, and the file is the same for every number of ranks. A NaN or an infinity is OUTPUT. */
enum fuse_status fuse_json_sink_open_as(struct fuse_sink **out, struct fuse_comm *comm, const char *path,
                                        const struct fuse_sink_member *member, int members,
                                        const struct fuse_json_layout *layout, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_json_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const char *path,
                                     const struct fuse_sink_member *member, int members,
                                     struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_json_sink_write(struct fuse_sink *sink, int member, const struct fuse_box *box,
                                      const struct fuse_view *from, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_json_sink_finish(struct fuse_sink *sink, struct fuse_comm *comm,
                                       struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_json_sink_commit(struct fuse_sink *sink, struct fuse_error *err) FUSE_CHECKED;
const char *fuse_json_sink_temporary(const struct fuse_sink *sink);
void fuse_json_sink_discard(struct fuse_sink *sink);

#endif
