/* Names of a few ids, for what is printed: first all are asked for, then they are fetched, then written.
 *
 *     fuse_id_names_want .. -> fuse_id_names_find -> fuse_id_names_add .. -> fuse_id_names_close */
#ifndef FUSE_EXEC_ID_NAMES_H
#define FUSE_EXEC_ID_NAMES_H

#include "comm/comm.h"
#include "core/text.h"
#include "io/symbols.h"

struct fuse_id_names {
    struct fuse_arena *arena;
    FUSE_VEC(struct fuse_symbol_id) wanted;
    struct fuse_symbol_texts texts;
};

/* Local. table: one more than the number of the symbols, 0: the id is a number. Negative ids are none. */
void fuse_id_names_want(struct fuse_id_names *names, int table, int64_t id);
/* Collective: the same ids on every rank; rank 0 gets the names. symbols NULL: there are none. The status is every rank's. */
enum fuse_status fuse_id_names_find(struct fuse_id_names *names, const struct fuse_symbols *symbols,
                                    struct fuse_comm *comm, struct fuse_error *err) FUSE_CHECKED;
/* Local, rank 0: the id's name in quotes, or its number. */
void fuse_id_names_add(struct fuse_text *text, const struct fuse_id_names *names, int table, int64_t id);
void fuse_id_names_close(struct fuse_id_names *names);

#endif
