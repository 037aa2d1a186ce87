/* What the building of symbol tables (symbol_build.c) hands to the tables (symbols.c). */
#ifndef FUSE_IO_SYMBOLS_INTERNAL_H
#define FUSE_IO_SYMBOLS_INTERNAL_H

#include "io/kept_rows.h"
#include "io/symbols.h"

/* Names of ids [first, end) of a table. */
struct fuse_symbol_shelf {
    int64_t count, given; /* of the whole table; 1 + the largest id of a vocabulary */
    int64_t first, end;
    size_t *at; /* [end - first] 1 + where in the log: two bytes of length, then the text; 0: this id has no name */
};

struct fuse_symbols {
    int tables, files;
    struct fuse_symbol_shelf *shelf;
    char *log;
    size_t log_bytes, log_room;
    size_t longest;              /* name here, in bytes */
    struct fuse_kept_rows *rows; /* [files] */
};

/* Local. Empty shelves for tables of so many symbols. MEMORY. */
enum fuse_status fuse_symbols_make_shelves(struct fuse_symbols *symbols, const struct fuse_comm *comm,
                                           const int64_t *count, struct fuse_error *err) FUSE_CHECKED;
/* The rank whose shelf has the id, the last one for an id beyond all shelves. */
int fuse_symbols_holder(const struct fuse_comm *comm, int64_t count, int64_t id);
/* Local. Puts a name on this rank's shelf. MEMORY. */
enum fuse_status fuse_symbols_put(struct fuse_symbols *symbols, int table, int64_t id, const char *text, size_t bytes,
                                  struct fuse_error *err) FUSE_CHECKED;

#endif
