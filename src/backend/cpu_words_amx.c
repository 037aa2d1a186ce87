/* Products of words by tiles of 16 rows of 16 words: two by two tiles of c, each a sum over tiles of a and b. Compiled with
 * -mamx-tile -mamx-int8 -mamx-bf16. */
#include "backend/cpu_words.h"

#include <immintrin.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

enum { TILE = 16, REQUEST_PERMISSION = 0x1023, TILE_DATA = 18 };

bool fuse_words_amx_open(void) {
#if defined(__linux__) && defined(SYS_arch_prctl)
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
    return false;
#endif
}

/* As the instruction wants it: eight tiles of 16 rows of 64 bytes. */
struct shape {
    uint8_t palette, start, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static void open_tiles(void) {
    struct shape shape = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        shape.row_bytes[t] = 4 * TILE;
        shape.rows[t] = TILE;
    }
    _tile_loadconfig(&shape);
}

/* Tiles 0 to 3 are c, 4 and 5 a, 6 and 7 b. */
#define PRODUCT(name, multiply)                                                                                      \
    void name(int64_t m, int64_t n, int64_t words, const uint32_t *a, int64_t a_row, const uint32_t *b_, void *c_) { \
        const size_t ldc = (size_t)(4 * n), lda = (size_t)(4 * a_row), ldb = 4 * FUSE_WORD_STRIP;                    \
        open_tiles();                                                                                                \
        for (int64_t j = 0; j < n; j += FUSE_WORD_STRIP)                                                             \
            for (int64_t i = 0; i < m; i += 2 * TILE) {                                                              \
                const bool two = i + TILE < m;                                                                       \
                const uint32_t *a0 = a + i * a_row, *a1 = a0 + TILE * a_row, *b = b_ + j * words;                    \
                int32_t *c0 = (int32_t *)c_ + i * n + j, *c1 = c0 + TILE * n;                                        \
                _tile_loadd(0, c0, ldc);                                                                             \
                _tile_loadd(1, c0 + TILE, ldc);                                                                      \
                if (two) {                                                                                           \
                    _tile_loadd(2, c1, ldc);                                                                         \
                    _tile_loadd(3, c1 + TILE, ldc);                                                                  \
                }                                                                                                    \
                for (int64_t k = 0; k < words; k += TILE) {                                                          \
                    _tile_loadd(6, b + k * FUSE_WORD_STRIP, ldb);                                                    \
                    _tile_loadd(7, b + k * FUSE_WORD_STRIP + TILE, ldb);                                             \
                    _tile_loadd(4, a0 + k, lda);                                                                     \
                    multiply(0, 4, 6);                                                                               \
                    multiply(1, 4, 7);                                                                               \
                    if (two) {                                                                                       \
                        _tile_loadd(5, a1 + k, lda);                                                                 \
                        multiply(2, 5, 6);                                                                           \
                        multiply(3, 5, 7);                                                                           \
                    }                                                                                                \
                }                                                                                                    \
                _tile_stored(0, c0, ldc);                                                                            \
                _tile_stored(1, c0 + TILE, ldc);                                                                     \
                if (two) {                                                                                           \
                    _tile_stored(2, c1, ldc);                                                                        \
                    _tile_stored(3, c1 + TILE, ldc);                                                                 \
                }                                                                                                    \
            }                                                                                                        \
        _tile_release();                                                                                             \
    }
PRODUCT(fuse_words_amx_i8, _tile_dpbusd)
PRODUCT(fuse_words_amx_bf16, _tile_dpbf16ps)
