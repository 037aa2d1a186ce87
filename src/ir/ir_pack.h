/* The IR, and what probes say of sources, as bytes (core/pack.h): both directions by one description. What is read is
 * well-formed enough for fuse_ir_verify, which must say yes before anything else looks at it. Local and pure. */
#ifndef FUSE_IR_IR_PACK_H
#define FUSE_IR_IR_PACK_H

#include "core/pack.h"
#include "ir/ir.h"

/* What the sources were found to be, in the same order when writing and when reading. */
struct fuse_probed {
    const struct fuse_probe **probe;
    int n;
};

/* Reading: the IR is empty but for its arena, which is the pack's. What a probe has scanned (its tally, its index) and its
 * shards are taken from `probed`; writing one that is not there fails. */
void fuse_ir_pack(struct fuse_pack *pack, struct fuse_ir *ir, const struct fuse_probed *probed);
/* Without tally, index and shards. */
void fuse_probe_pack(struct fuse_pack *pack, struct fuse_probe *probe);
void fuse_span_pack(struct fuse_pack *pack, struct fuse_span *span);
/* NULL is kept. */
void fuse_scalar_pack(struct fuse_pack *pack, const struct fuse_scalar **scalar);
/* rules_pack.c; read, they want fuse_rules_verify. NULL is kept. */
void fuse_rules_pack(struct fuse_pack *pack, const struct fuse_rules **rules);
/* Writing only: to compare. */
void fuse_tally_pack(struct fuse_pack *pack, struct fuse_tally *tally);

#endif
