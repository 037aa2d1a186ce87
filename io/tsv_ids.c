#include "io/tsv_ids.h"

#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

enum { BLOCK = 64, WORD = 8, MOST_DIGITS = 18 /* below 2^60 */ };

static const uint64_t zeros = 0x3030303030303030u;

static uint64_t load(const char *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Bit k: byte k of the block is no digit. */
static inline uint64_t find_others(const char *at) {
    uint64_t others = 0;
#ifdef __SSE2__
    /* Signed: digits are the lowest ten of all bytes. */
    const __m128i first = _mm_set1_epi8((char)('0' + 128)), last = _mm_set1_epi8(9 - 128);
    for (int k = 0; k < BLOCK; k += 16) {
        __m128i text = _mm_sub_epi8(_mm_loadu_si128((const __m128i *)(const void *)(at + k)), first);
        others |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpgt_epi8(text, last)) << k;
    }
#else
    for (int k = 0; k < BLOCK; k += WORD) {
        uint64_t text = load(at + k) ^ zeros;
        uint64_t high = (((text & 0x7F7F7F7F7F7F7F7Fu) + 0x7676767676767676u) | text) & 0x8080808080808080u;
        others |= ((high >> 7) * 0x0102040810204080u >> 56) << k;
    }
#endif
    return others;
}

/* The number that `digits` digits are, 1 to MOST_DIGITS. */
static inline uint64_t read_digits(const char *at, int64_t digits) {
    uint64_t word = load(at) ^ zeros, number = 0;
    if (digits > WORD) {
        for (int64_t k = 0; k < digits; k++)
            number = 10 * number + (uint64_t)(at[k] - '0');
        return number;
    }
    /* Zeros in front, then pairs of digits, and all four pairs. */
    word <<= 8 * (WORD - digits);
    word = word * 10 + (word >> 8);
    return ((word & 0x000000FF000000FFu) * 0x000F424000000064u +
            (word >> 16 & 0x000000FF000000FFu) * 0x0000271000000001u) >>
           32;
}

static inline const char *take_ids(const char *at, const char *end, char separator, int columns, int64_t *const *id,
                                   int64_t most, int64_t *n) {
    const char *line = at, *field = at, *block = at;
    int64_t row = *n;
    int column = 0;
    for (; row < most && line < end; block += BLOCK) {
        uint64_t others = find_others(block);
        for (; others; others &= others - 1) {
            const char *stop = block + __builtin_ctzll(others);
            /* Behind a carriage return: the line feed has been looked at. */
            if (stop < field)
                continue;
            int64_t digits = stop - field;
            bool is_last = column + 1 == columns;
            if ((uint64_t)digits - 1 >= MOST_DIGITS)
                goto leave;
            if (*stop != (is_last ? '\n' : separator)) {
                if (!is_last || stop[0] != '\r' || stop[1] != '\n')
                    goto leave;
                stop++;
            }
            id[column++][row] = (int64_t)read_digits(field, digits);
            field = stop + 1;
            if (!is_last)
                continue;
            column = 0;
            line = field;
            if (++row == most || line >= end)
                goto leave;
        }
    }
leave:
    *n = row;
    return line;
}

const char *fuse_tsv_take_ids(const char *at, const char *end, char separator, int columns, int64_t *const *id,
                              int64_t most, int64_t *n) {
    if (columns == 2)
        return take_ids(at, end, separator, 2, id, most, n);
    return take_ids(at, end, separator, columns, id, most, n);
}
