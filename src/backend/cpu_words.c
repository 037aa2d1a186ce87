#define WORDS_TABLE fuse_words_base
#include "backend/cpu_words.inc"

#if defined(__x86_64__)
#include <cpuid.h>

static bool has_leaf_7(unsigned subleaf, int word, unsigned bit) {
    unsigned r[4] = {0};
    return __get_cpuid_count(7, subleaf, &r[0], &r[1], &r[2], &r[3]) && (r[word] >> bit & 1);
}
enum { EAX, EBX, ECX, EDX };

/* Intel's processors with tiles do half as many products of BF16 a cycle in vectors as of F32: there tiles do them, or F32. */
static void choose_more(struct fuse_word_table *table) {
    const bool amx = has_leaf_7(0, EDX, 24) && fuse_words_amx_open();
    if (amx && has_leaf_7(0, EDX, 25))
        table->kernel[FUSE_WORD_I8] = (struct fuse_word_kernel){fuse_words_amx_i8, 16};
    else if (has_leaf_7(0, ECX, 11))
        table->kernel[FUSE_WORD_I8] = (struct fuse_word_kernel){fuse_words_vnni, 1};
    if (amx && has_leaf_7(0, EDX, 22))
        table->kernel[FUSE_WORD_BF16] = (struct fuse_word_kernel){fuse_words_amx_bf16, 16};
    else if (has_leaf_7(1, EAX, 5) && !has_leaf_7(0, EDX, 24))
        table->kernel[FUSE_WORD_BF16] = (struct fuse_word_kernel){fuse_words_bf16, 1};
}
#endif

struct fuse_word_table fuse_words_choose(const char *isa) {
#if defined(__x86_64__)
    if (strcmp(isa, "avx2") == 0)
        return fuse_words_avx2;
    if (strcmp(isa, "avx512") == 0) {
        struct fuse_word_table table = fuse_words_avx512;
        choose_more(&table);
        return table;
    }
#endif
    (void)isa;
    return fuse_words_base;
}

const char *fuse_words_name(const struct fuse_word_table *table, enum fuse_word_form form) {
    fuse_word_product *const product = table->kernel[form].product;
#if defined(__x86_64__)
    if (product == fuse_words_amx_i8 || product == fuse_words_amx_bf16)
        return "amx";
    if (product == fuse_words_vnni)
        return "avx512vnni";
    if (product == fuse_words_bf16)
        return "avx512bf16";
#endif
    return product ? "vectors" : NULL;
}
