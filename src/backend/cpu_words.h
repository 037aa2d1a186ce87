/* Matrix products of narrow types: elements that follow each other along the summed index are packed in words of 32 bits, so
 * that one kernel in strips serves all of them; a step multiplies a word of a by a word of b and adds to a number of 32 bits.
 *
 *                 strip of 32 columns
 *               +---+---+--
 *     words of K| b |   |             FUSE_WORD_I8     4 integers, of a without and of b with a sign; sum in 32 bits
 *               +---+---+--           FUSE_WORD_I16    2 integers
 *        +---+  +---+---+--           FUSE_WORD_BF16   2 reals; sum in F32, in which subnormal numbers count as 0
 *   rows | a |  | c |   |             FUSE_WORD_BITS   32 truths; the sum is not 0 where a product is true
 *        +---+  +---+---+--
 *
 * One table per instruction set, made from cpu_words.inc; products beyond it are chosen by what else the processor has. Local. */
#ifndef FUSE_BACKEND_CPU_WORDS_H
#define FUSE_BACKEND_CPU_WORDS_H

#include <stdbool.h>
#include <stdint.h>

enum fuse_word_form { FUSE_WORD_I8, FUSE_WORD_I16, FUSE_WORD_BF16, FUSE_WORD_BITS, FUSE_WORD_FORMS };

/* Columns of a strip; rows of a and c are multiples of FUSE_WORD_ROWS, columns of c of FUSE_WORD_STRIP. */
enum { FUSE_WORD_STRIP = 32, FUSE_WORD_ROWS = 16 };

/* How elements of memory become words. */
struct fuse_word_source {
    enum fuse_word_form form;
    int bytes;      /* of an element */
    bool truths;    /* bytes, of which each that is not 0 is 1 */
    bool is_signed; /* of I16: bytes with a sign */
    uint8_t flip;   /* of I8: exclusive or of each byte */
};

/* c += a b. a: [m][words], rows at a_row; b: strips of [words][FUSE_WORD_STRIP], one after the other; c: [m][n], rows at n, numbers
 * of 32 bits. m, n multiples as above, words of what the product says. */
typedef void fuse_word_product(int64_t m, int64_t n, int64_t words, const uint32_t *a, int64_t a_row, const uint32_t *b,
                               void *c);
/* n elements that follow each other, in as many words as they need, the last filled with zeros. true: a number of BF16 is subnormal. */
typedef bool fuse_word_pack_run(uint32_t *to, const void *from, int64_t n, const struct fuse_word_source *source);
/* One word each of `lanes` runs across rows: element e of word i is row[e][i]. The same result. */
typedef bool fuse_word_pack_rows(uint32_t *to, const void *const *row, int lanes,
                                 const struct fuse_word_source *source);

struct fuse_word_kernel {
    fuse_word_product *product; /* NULL: none here */
    int64_t multiple;           /* of words */
};

struct fuse_word_table {
    fuse_word_pack_run *pack_run;
    fuse_word_pack_rows *pack_rows;
    struct fuse_word_kernel kernel[FUSE_WORD_FORMS];
    fuse_word_product *bf16_exactly; /* by F32, in which subnormal numbers count; any number of words */
};

extern const struct fuse_word_table fuse_words_base;
#if defined(__x86_64__)
extern const struct fuse_word_table fuse_words_avx2, fuse_words_avx512;
/* Of processors that have more than AVX-512's first parts. */
extern fuse_word_product fuse_words_vnni, fuse_words_bf16, fuse_words_amx_i8, fuse_words_amx_bf16;
/* Asks the system for the registers of tiles, once; false when it does not give them. */
bool fuse_words_amx_open(void);
#endif

/* The table for an instruction set of cpu_tile.h, with the fastest kernels that this processor has. */
struct fuse_word_table fuse_words_choose(const char *isa);
/* What products of BF16 and of integers are made of, for people: "amx", "avx512bf16", "vnni", .. */
const char *fuse_words_name(const struct fuse_word_table *table, enum fuse_word_form form);

#endif
