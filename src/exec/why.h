/* Why a fact holds, and why it does not: proofs of what rules derived, found when they are finished.
 *
 * A proof is a tree of facts. Its leaves are facts of sources, and that there is no fact of a negated atom; every other fact is the
 * head of a rule whose positive atoms are the facts below it. Its height is 0 for a fact of a source, else one more than that of
 * the highest fact below. The proof that is found is of minimal height, and of all of these each of its steps has the first rule,
 * and of that the first ids of the variables, in the order of the program: so it is the same on every number of ranks. */
#ifndef FUSE_EXEC_WHY_H
#define FUSE_EXEC_WHY_H

#include "exec/internal.h"

/* Collective; every rank's status is the same. Answers question `number` of the request about the relation that `op`, a sink that
 * asks, reads, and prints the answer. FAILED when the fact does not hold (why) or holds (why not). */
enum fuse_status fuse_exec_why(struct fuse_exec *exec, const struct fuse_op *op, struct fuse_error *err) FUSE_CHECKED;
/* Local. What was kept from question to question. */
void fuse_exec_why_close(struct fuse_exec *exec);

#endif
