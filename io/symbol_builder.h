/* What the building of symbol tables is made of: symbol_collect.c reads files and sends symbols to their owners,
 * symbol_build.c makes ids of what they know. */
#ifndef FUSE_IO_SYMBOL_BUILDER_H
#define FUSE_IO_SYMBOL_BUILDER_H

#include "io/deal.h"
#include "io/symbol_dictionary.h"
#include "io/symbols_internal.h"
#include "io/tsv_scan.h"
#include "io/vocabulary.h"

/* The largest message of one symbol. */
#define FUSE_SYMBOL_RECORD_BYTES (16 + FUSE_SYMBOL_BYTES)
#define FUSE_MOST_KEYS (FUSE_FIELD_ROWS * FUSE_MAX_AXES)

/* A symbol that this rank sent. */
struct fuse_symbol_sent {
    int64_t place;
    uint32_t owner;
    uint16_t table;
    bool is_first;
};

/* A symbol that this rank owns. */
struct fuse_symbol_owned {
    int64_t place;           /* the first */
    uint32_t rank, question; /* who has it there, and the which of his it is */
    uint32_t id;
};

/* A file that is read: a list of names, a vocabulary, or one of the program. */
struct fuse_symbol_part {
    const char *path, *text_part;
    const struct fuse_format *format;
    const struct fuse_probe *probe;
    int table[FUSE_MAX_AXES], names_of; /* names_of: the table that this is the list of, -1: none */
    struct fuse_kept_rows *kept;        /* NULL: of names and vocabularies nothing is kept */
    const struct fuse_vocabulary
        *vocabulary;              /* it is one, for table[0]: it has no format and probe; rank 0 has met it */
    uint32_t *id;                 /* then, on rank 0: of its symbols, from `first` on */
    int64_t base, places, before; /* its places begin at base; rows of lower ranks */
    int64_t first;                /* of this rank's symbols, those met in it */
    int64_t fault_place;          /* a name that stands twice among this rank's, INT64_MAX: none */
    struct fuse_tsv_verdict found;
    char reason[160];
    const char *hint;
};

struct fuse_symbol_builder {
    struct fuse_comm *comm;
    const struct fuse_symbol_request *want;
    struct fuse_symbols *symbols;
    struct fuse_symbol_part *part; /* [parts], and one more that begins behind all */
    int parts, at;                 /* the one that is read */
    struct fuse_field_source *source;
    struct fuse_fields fields;
    struct fuse_dictionary met, own;
    struct fuse_symbol_sent *sent;
    int64_t sents, sent_room;
    size_t pending; /* in the log of `met` */
    int64_t pending_number;
    struct fuse_symbol_owned *owned;
    size_t owned_room;
    /* Per rank: numbers of own symbols that it asked for, in order. */
    struct fuse_symbol_questions {
        uint32_t *own;
        int64_t n, room;
    } * question;
    struct fuse_deal deal;
    bool is_read;
    enum fuse_status status; /* of this rank */
    struct fuse_error *err;
    /* Per owner: what was sent to it, in order. */
    int64_t *begin, *first_begin; /* [ranks + 1] */
    uint32_t *order, *firsts;
    uint32_t *id;      /* of what was sent */
    int64_t *constant; /* numbers of the constants on rank 0 */
    int64_t *count;    /* [tables] */
    struct fuse_symbol_key key[FUSE_MOST_KEYS];
    uint32_t guess[FUSE_MOST_KEYS];
};

/* Local: the parts that the request names. */
void fuse_symbols_list_parts(struct fuse_symbol_builder *b);
/* Local. This rank's share of a part, through b->fields. */
enum fuse_status fuse_symbols_open_part(struct fuse_symbol_builder *b, struct fuse_field_source **out,
                                        const struct fuse_symbol_part *part) FUSE_CHECKED;
/* Collective: pass 1. INPUT for the first fault of the first file that has one. */
enum fuse_status fuse_symbols_collect(struct fuse_symbol_builder *b) FUSE_CHECKED;

#endif
