/* What the rewrites of this folder share. Nobody else includes this. */
#ifndef FUSE_IR_REWRITE_H
#define FUSE_IR_REWRITE_H

#include "ir/ir.h"

/* Appends an operation that already lives in the IR's arena, without a copy. */
int fuse_ir_push_op(struct fuse_ir *ir, struct fuse_op *op);

#endif
