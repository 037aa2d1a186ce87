/* Compiled with -mavx512f -mavx512bw -mavx512dq -mavx512vl. */
#define WORDS_TABLE fuse_words_avx512
#include "backend/cpu_words.inc"
