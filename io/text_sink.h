/* A sink whose elements are text of any length: one array in a file. Each rank formats the elements that it is given, in the
 * order in which it gets them (see text_runs.h), and when all have, sums over the ranks tell where each run of elements goes.
 * So memory is bounded, and the file is the same for every number of ranks. */
#ifndef FUSE_IO_TEXT_SINK_H
#define FUSE_IO_TEXT_SINK_H

#include "io/decimal.h"
#include "io/format.h"
#include "io/text_runs.h"

struct fuse_text_shape {
    const struct fuse_sink_member *member;
    int64_t elems;
    int64_t inner[FUSE_MAX_AXES]; /* elements on axes a and behind, at one position of the axes before */
    const char *path;             /* for messages */
};

/* How the elements stand in the text. */
struct fuse_text_layout {
    const void *form; /* the format's own */
    /* Appends the text of elements [first, first + count) in C order, which lie packed at `from`. */
    enum fuse_status (*elements)(struct fuse_text_runs *text, const struct fuse_text_shape *shape, const void *form,
                                 const void *from, int64_t first, int64_t count, struct fuse_error *err);
    /* Appends the text of tuples; NULL: the format has none. */
    enum fuse_status (*tuples)(struct fuse_text_runs *text, const struct fuse_text_shape *shape, const void *form,
                               const struct fuse_tuple_rows *rows, struct fuse_error *err);
    /* Collective; NULL: what was appended is the text. Makes the text, run by run, from what was appended: it may ask other ranks
     * for what it needs. Every rank takes part in its messages whatever fails; statuses may differ. */
    enum fuse_status (*complete)(struct fuse_text_runs *text, const struct fuse_text_runs *appended,
                                 const struct fuse_text_shape *shape, const void *form, struct fuse_comm *comm,
                                 struct fuse_error *err);
    /* The text of an array without elements; NULL: an empty one. */
    enum fuse_status (*nothing)(struct fuse_text_runs *text, const struct fuse_text_shape *shape,
                                struct fuse_error *err);
};

/* Element `from` of type `dtype`, which is finite, as a number of type `shown`, which is not Boolean: the fewest digits that
 * read back equal. Returns the length. */
size_t fuse_text_number(char to[FUSE_DECIMAL_BYTES], enum fuse_dtype shown, enum fuse_dtype dtype, const void *from);
/* "3, 0, 12": where element n is. Returns `to`. */
char *fuse_text_place(char to[22 * FUSE_MAX_AXES + 1], const struct fuse_text_shape *shape, int64_t n);

/* As in struct fuse_format. The layout outlives the sink. `local`: what this rank found about the member before. */
enum fuse_status fuse_text_sink_open(struct fuse_sink **out, struct fuse_comm *comm, enum fuse_status local,
                                     const struct fuse_sink_file *want, const struct fuse_text_layout *layout,
                                     struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_text_sink_write(struct fuse_sink *sink, int member, const struct fuse_box *box,
                                      const struct fuse_view *from, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_text_sink_tuples(struct fuse_sink *sink, int member, int64_t first, int64_t total,
                                       const struct fuse_tuple_rows *rows, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_text_sink_finish(struct fuse_sink *sink, struct fuse_comm *comm,
                                       struct fuse_error *err) FUSE_CHECKED;
struct fuse_output_file *fuse_text_sink_release(struct fuse_sink *sink);

#endif
