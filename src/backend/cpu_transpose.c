#include "backend/cpu_transpose.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#define LINE 64
#define AHEAD 16 /* elements of a column that are fetched before they are needed */

/* Writes an aligned line without reading it first. */
static inline void stream_line(void *to, const void *from) {
#if defined(__SSE2__)
    for (int i = 0; i < LINE / 16; i++)
        _mm_stream_si128((__m128i *)to + i, _mm_loadu_si128((const __m128i *)from + i));
#else
    memcpy(to, from, LINE);
#endif
}

/* Blocks are as wide as a cache line, so that every line of source and target is used whole, and follow the source, whose
 * lines the processor then fetches ahead. The target's lines, one in each row, it would fetch too late: large transposes
 * write them without reading. A row's lines need not begin where the blocks do, so each row keeps the last two blocks of
 * columns, and a whole line is cut out of them:
 *
 *      window:  [ columns c0-E .. c0 | columns c0 .. c0+E ]
 *                      [ a line of the target ]
 *                      ^ L, 1 .. E; E where lines and blocks agree                                                  */
#define TURN(type)                                                                  \
    static inline void turn_##type(type *to, const type *in, int64_t column_from) { \
        enum { E = LINE / sizeof(type) };                                           \
        for (int64_t c = 0; c < E; c++)                                             \
            for (int64_t r = 0; r < E; r++)                                         \
                to[r * 2 * E + c] = in[r + c * column_from];                        \
    }
TURN(uint8_t)
TURN(uint16_t)
TURN(uint64_t)

typedef uint32_t quad __attribute__((vector_size(16), aligned(4), may_alias));

/* Four columns and four rows at a time. */
static inline void turn_uint32_t(uint32_t *to, const uint32_t *in, int64_t column_from) {
    enum { E = LINE / sizeof(uint32_t) };
    for (int64_t c = 0; c < E; c += 4) {
        const uint32_t *at = in + c * column_from;
        for (int64_t x = 0; x < 4; x++)
            __builtin_prefetch(at + x * column_from + AHEAD);
        for (int64_t r = 0; r < E; r += 4) {
            const quad a = *(const quad *)(at + r), b = *(const quad *)(at + column_from + r),
                       d = *(const quad *)(at + 2 * column_from + r), e = *(const quad *)(at + 3 * column_from + r);
            const quad ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
                       high_ab = __builtin_shufflevector(a, b, 2, 6, 3, 7),
                       de = __builtin_shufflevector(d, e, 0, 4, 1, 5),
                       high_de = __builtin_shufflevector(d, e, 2, 6, 3, 7);
            uint32_t *out = to + r * 2 * E + c;
            *(quad *)out = __builtin_shufflevector(ab, de, 0, 1, 4, 5);
            *(quad *)(out + 2 * E) = __builtin_shufflevector(ab, de, 2, 3, 6, 7);
            *(quad *)(out + 4 * E) = __builtin_shufflevector(high_ab, high_de, 0, 1, 4, 5);
            *(quad *)(out + 6 * E) = __builtin_shufflevector(high_ab, high_de, 2, 3, 6, 7);
        }
    }
}

#define TRANSPOSE(type)                                                                                        \
    static void transpose_##type(type *to, const type *from, int64_t rows, int64_t columns, int64_t row_to,    \
                                 int64_t column_to, int64_t row_from, int64_t column_from, bool stream) {      \
        enum { E = LINE / sizeof(type) };                                                                      \
        type window[FUSE_TRANSPOSE_ROWS][2 * E];                                                               \
        for (int64_t c0 = 0; c0 < columns; c0 += E) {                                                          \
            const int64_t cn = columns - c0 < E ? columns - c0 : E;                                            \
            const bool last = c0 + E >= columns;                                                               \
            for (int64_t r0 = 0; r0 < rows; r0 += E) {                                                         \
                const int64_t rn = rows - r0 < E ? rows - r0 : E;                                              \
                const type *in = from + r0 * row_from + c0 * column_from;                                      \
                if (rn == E && cn == E && row_from == 1)                                                       \
                    turn_##type(&window[r0][E], in, column_from);                                              \
                else                                                                                           \
                    for (int64_t c = 0; c < cn; c++)                                                           \
                        for (int64_t r = 0; r < rn; r++)                                                       \
                            window[r0 + r][E + c] = in[r * row_from + c * column_from];                        \
                for (int64_t r = r0; r < r0 + rn; r++) {                                                       \
                    const type *kept = window[r];                                                              \
                    type *target = to + r * row_to + (c0 - E) * column_to; /* of kept[0] */                    \
                    int64_t next = E;                                      /* first of kept not yet written */ \
                    if (stream) {                                                                              \
                        const int64_t L = E - (int64_t)((uintptr_t)(target + E) % LINE / sizeof(type));        \
                        next = c0 > 0 ? L : E;                                                                 \
                        if (next == L && L <= cn) {                                                            \
                            stream_line(target + L, kept + L);                                                 \
                            next += E;                                                                         \
                        } else if (c0 == 0 && L <= cn) {                                                       \
                            for (; next < E + L; next++)                                                       \
                                target[next] = kept[next];                                                     \
                        }                                                                                      \
                        if (!last)                                                                             \
                            memcpy(window[r], window[r] + E, E * sizeof(type));                                \
                    }                                                                                          \
                    if (!stream || last)                                                                       \
                        for (; next < E + cn; next++)                                                          \
                            target[next * column_to] = kept[next];                                             \
                }                                                                                              \
            }                                                                                                  \
        }                                                                                                      \
    }
TRANSPOSE(uint8_t)
TRANSPOSE(uint16_t)
TRANSPOSE(uint32_t)
TRANSPOSE(uint64_t)

void fuse_cpu_transpose(int64_t bytes, char *to, const char *from, int64_t rows, int64_t columns, int64_t row_to,
                        int64_t column_to, int64_t row_from, int64_t column_from, bool stream) {
#define CASE(type) \
    transpose_##type((type *)to, (const type *)from, rows, columns, row_to, column_to, row_from, column_from, stream)
    switch (bytes) {
    case 1: CASE(uint8_t); break;
    case 2: CASE(uint16_t); break;
    case 4: CASE(uint32_t); break;
    default: CASE(uint64_t); break;
    }
#undef CASE
}
