/* Compiled with -mavx2. */
#define WORDS_TABLE fuse_words_avx2
#include "backend/cpu_words.inc"
