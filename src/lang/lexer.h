/* From text to tokens, one at a time and on demand: a lexer is plain data, so the parser looks ahead by copying it.
 *
 * Newlines are no tokens: a token knows whether one came before it, and the parser, which knows the open brackets,
 * decides whether it counts. Local. */
#ifndef FUSE_LANG_LEXER_H
#define FUSE_LANG_LEXER_H

#include "core/arena.h"

#include <locale.h>
#include <stdbool.h>
#include <stdint.h>

enum fuse_token_kind {
#define FUSE_TOKEN(name, text, continues) FUSE_TOKEN_##name,
#define FUSE_WORD(name, spelling) FUSE_TOKEN_##name,
#include "lang/token.def"
#undef FUSE_TOKEN
#undef FUSE_WORD
    FUSE_TOKENS
};

struct fuse_token {
    enum fuse_token_kind kind;
    uint32_t begin, end;
    uint32_t column; /* bytes between the start of its line and it */
    bool newline_before;
    bool qualified;  /* NAME: a::b */
    bool primed;     /* NAME: p' */
    bool is_integer; /* NUMBER */
    int64_t integer; /* NUMBER that is_integer */
    double real;     /* NUMBER */
};

struct fuse_lexer {
    const char *text;         /* ends with a NUL that is not counted */
    uint32_t bytes, at, line; /* line: where the one of `at` starts */
    struct fuse_arena *arena;
    locale_t locale; /* of numbers: the C locale */
    /* What is wrong with the last BAD token; the place may be a part of it, such as one escape of a string. */
    const char *message, *hint;
    uint32_t problem_begin, problem_end;
};

/* The first place where bytes are no text: what is not UTF-8, or a NUL. False when they are one. */
bool fuse_find_no_text(uint32_t *begin, uint32_t *end, const char *text, uint32_t bytes);

/* The text is the caller's and outlives the lexer; bytes below 2^31; a text in the sense of fuse_find_no_text. */
void fuse_lexer_open(struct fuse_lexer *lexer, struct fuse_arena *arena, const char *text, size_t bytes);
void fuse_lexer_close(struct fuse_lexer *lexer);

/* Reads the next token; after the last one FILE_END, again and again. */
void fuse_lexer_next(struct fuse_lexer *lexer, struct fuse_token *token);

/* The name as one word: `a :: b` gives "a::b". */
const char *fuse_lexer_name(const struct fuse_lexer *lexer, const struct fuse_token *token);
/* The string with its escapes resolved. */
const char *fuse_lexer_string(const struct fuse_lexer *lexer, const struct fuse_token *token);

/* "'->'", "a name", "'export'": for messages. */
const char *fuse_token_text(enum fuse_token_kind kind);
/* The newline after a line that ends in such a token does not count. */
bool fuse_token_continues(enum fuse_token_kind kind);
bool fuse_token_is_reserved(enum fuse_token_kind kind);

#endif
