/* What the formats of rows are put together from: sources are in tsv.c, sinks in tsv_sink.c. */
#ifndef FUSE_IO_TSV_H
#define FUSE_IO_TSV_H

#include "io/text_sink.h"

/* As in struct fuse_format; the other functions of sinks are those of text_sink.h. A line for each cell that is true, or not
 * 0, in C order: its position, and unless the member is Boolean its value. OUTPUT for a Boolean of rank 0, which
 * has no ids. */
enum fuse_status fuse_tsv_sink_open(struct fuse_sink **out, struct fuse_comm *comm, const struct fuse_sink_file *want,
                                    struct fuse_error *err) FUSE_CHECKED;

#endif
