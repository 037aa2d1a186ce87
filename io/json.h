/* What the JSON format is put together from: sources are in json.c, sinks in json_sink.c. */
#ifndef FUSE_IO_JSON_H
#define FUSE_IO_JSON_H

#include "io/format.h"

/* As in struct fuse_format. Each rank formats the elements that it is given, in the order in which it gets them, into an
 * unnamed file of its own beside the target; when all have, sums over the ranks tell where each run of elements goes. So
 * memory is bounded, and the file is the same for every number of ranks. A NaN or an infinity is OUTPUT. */
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
