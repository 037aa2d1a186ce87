/* What the JSON format is put together from: sources are in json.c, sinks in json_sink.c. */
#ifndef FUSE_IO_JSON_H
#define FUSE_IO_JSON_H

#include "io/text_sink.h"

/* Room for what stands before or behind an element. */
#define FUSE_JSON_AROUND_BYTES (22 * FUSE_MAX_AXES + 64)

/* How the elements stand in the text: nested lists (json_sink.c), or a line each (jsonl_sink.c). */
struct fuse_json_form {
    /* Lengths of what stands before and behind element n. */
    size_t (*before)(char *to, const struct fuse_text_shape *shape, int64_t n);
    size_t (*behind)(char *to, const struct fuse_text_shape *shape, int64_t n);
    /* The type as which element n is written. */
    enum fuse_dtype (*shown)(const struct fuse_text_shape *shape, int64_t n);
};

/* `elements` of a layout whose form is a struct fuse_json_form. A NaN or an infinity is OUTPUT. */
enum fuse_status fuse_json_elements(struct fuse_text_runs *text, const struct fuse_text_shape *shape, const void *form,
                                    const void *from, int64_t first, int64_t count,
                                    struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_json_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                     struct fuse_error *err) FUSE_CHECKED;

#endif
