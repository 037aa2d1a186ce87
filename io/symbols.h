/* The symbols of a program: tables that give each symbol an id, its place in the order of first appearance, and back.
 *
 * A table's symbols come from columns of files, in the order of the files and in each row by row from left to right, then from
 * constants; ids do not depend on the number of ranks. A table with a list of names has those, in their order, and no others.
 * Vocabularies of its files (probe->vocabulary, of the last column) come first and give their symbols ids themselves, with gaps
 * perhaps; the others follow behind the largest.
 * While tables are built, a symbol belongs to the rank that its hash says; afterwards rank r of R has the names of ids
 * [n r / R, n (r + 1) / R). Each file is read once, a range of bytes a rank; a rank has at most 128 MiB of text of symbols that it
 * has met and not sent off, 16 bytes for each symbol that it sent, and 4 for each field of its rows. */
#ifndef FUSE_IO_SYMBOLS_H
#define FUSE_IO_SYMBOLS_H

#include "io/format.h"

#define FUSE_MOST_TABLES 60000

struct fuse_symbols;

/* A file as a statement of the program reads it. */
struct fuse_symbol_file {
    const char *path, *part;
    const struct fuse_format *format;
    const struct fuse_probe *probe;
    int columns; /* of ids */
    bool has_value;
    int table[FUSE_MAX_AXES]; /* of each column; -1: its fields are ids */
    /* Set: what planning needs to know of its rows, the same on every rank, and the rows of this rank. */
    const struct fuse_tally *tally;
    const struct fuse_kept_rows *rows;
};

struct fuse_symbol_names {
    const char *path; /* NULL: the table is open */
    const struct fuse_probe *probe;
};

struct fuse_symbol_constant {
    const char *text;
    int table;
    int64_t id;      /* set */
    bool is_outside; /* set: the table has a list of names, and this is none of them */
};

struct fuse_symbol_request {
    int tables, files, constants;
    const struct fuse_symbol_names *names; /* [tables] */
    struct fuse_symbol_file *file;
    struct fuse_symbol_constant *constant;
};

/* Collective, and the same status on every rank. Tallies live in the arena. INPUT with "path:line:column: reason" for the first
 * file's first line that is wrong, a name that is given twice, a symbol that is not among the names. */
enum fuse_status fuse_symbols_open(struct fuse_symbols **out, struct fuse_arena *arena, struct fuse_comm *comm,
                                   const struct fuse_symbol_request *want, struct fuse_error *err) FUSE_CHECKED;
/* Local. NULL is fine. */
void fuse_symbols_close(struct fuse_symbols *symbols);
/* Of a table: 1 + the largest id that a symbol has. */
int64_t fuse_symbols_count(const struct fuse_symbols *symbols, int table);
/* Of a table: ids below are those of vocabularies; 0: it has none. */
int64_t fuse_symbols_given(const struct fuse_symbols *symbols, int table);
/* What this rank holds, bytes. */
int64_t fuse_symbols_bytes(const struct fuse_symbols *symbols);

/* Collective, of one table. *id: that of the name with the least distance to the text (core/text.h), -1: none is near. */
enum fuse_status fuse_symbols_nearest(int64_t *id, const struct fuse_symbols *symbols, struct fuse_comm *comm,
                                      int table, const char *text, struct fuse_error *err) FUSE_CHECKED;

/* Names that were asked for. */
struct fuse_symbol_texts {
    size_t *at; /* [n + 1] in text: where each begins, and the end */
    char *text; /* without NULs between; an id that no symbol has has an empty one */
};
/* Collective; a rank may ask for none. The texts of `n` ids of a table each, which ascend by (table, id). Every rank takes part
 * in the messages whatever fails; statuses may differ. */
struct fuse_symbol_id {
    int32_t table;
    uint32_t id;
};
enum fuse_status fuse_symbols_find(struct fuse_symbol_texts *out, const struct fuse_symbols *symbols,
                                   struct fuse_comm *comm, const struct fuse_symbol_id *id, int64_t n,
                                   struct fuse_error *err) FUSE_CHECKED;
void fuse_symbol_texts_close(struct fuse_symbol_texts *texts);

#endif
