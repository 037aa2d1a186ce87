/* "p.npy:coo": a relation as its tuples, in binary. Local but for what says otherwise.
 *
 *   npy header  n x arity integers, a row a tuple   |  npy header  n numbers
 *   <--------- np.load reads this ---------------->    <- and this from the same stream; only of a numeric relation
 *
 * Written ids are i64, row by row in C order, sorted, none twice. Read are any integers in any order, duplicates too, as
 * rows of a .tsv file. A relation without tuples says nothing about its columns. */
#ifndef FUSE_IO_COO_H
#define FUSE_IO_COO_H

#include "io/format.h"

/* The path without ":coo". In the arena. */
const char *fuse_coo_file(struct fuse_arena *arena, const char *path);

/* As in struct fuse_format. */
enum fuse_status fuse_coo_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                    struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_coo_sink_tuples(struct fuse_sink *sink, int member, int64_t first, int64_t total,
                                      const struct fuse_tuple_rows *rows, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_coo_sink_write(struct fuse_sink *sink, int member, const struct fuse_box *box,
                                     const struct fuse_view *from, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_coo_sink_finish(struct fuse_sink *sink, struct fuse_comm *comm,
                                      struct fuse_error *err) FUSE_CHECKED;
struct fuse_output_file *fuse_coo_sink_release(struct fuse_sink *sink);

#endif
