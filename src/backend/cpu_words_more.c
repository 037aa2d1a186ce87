/* Products of words by instructions that came after AVX-512's first parts. Compiled with those, and -mavx512vnni -mavx512bf16. */
#include "backend/cpu_words.h"

#include <immintrin.h>

#define WORDS_BYTES 64
enum { LANES = WORDS_BYTES / 4 };
typedef int32_t words_vector __attribute__((vector_size(WORDS_BYTES), aligned(4), may_alias));

#define WORDS_PRODUCT void fuse_words_vnni
#define WORDS_STEP(sum, a, b) ((words_vector)_mm512_dpbusd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b)))
#include "backend/cpu_words_product.inc"

#define WORDS_PRODUCT void fuse_words_bf16
#define WORDS_STEP(sum, a, b) ((words_vector)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(b)))
#include "backend/cpu_words_product.inc"
