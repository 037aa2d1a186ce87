/* Tensors in several files (core/probe.h): the shards of a weight. */
#ifndef FUSE_IO_SHARDS_H
#define FUSE_IO_SHARDS_H

#include "io/format.h"

/* Local, pure. From the probes of all shards: where each begins, and the probe of the tensor that they make, which keeps a
 * pointer to them. INPUT, with the number of the shard in *wrong, when one does not go with the first: another element
 * type, rank or extent, or rows instead of an array. */
enum fuse_status fuse_shards_join(struct fuse_probe *out, int *wrong, struct fuse_shards *shards,
                                  struct fuse_error *err) FUSE_CHECKED;

/* Reads a tensor whose probe has shards; the path is for messages. A shard is opened by the ranks that read of it, when they
 * first do; one whose format has something to check at the end is opened by all. Not in the table of formats: it has no
 * suffix, and it writes nothing. */
extern const struct fuse_format fuse_format_shards;

#endif
