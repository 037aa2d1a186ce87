#include "core/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <string.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#define is_poisoned(at) __asan_address_is_poisoned(at)
#define POISONS 1
#else
#define is_poisoned(at) ((void)(at), 0)
#define POISONS 0
#endif

static bool all_zero(const unsigned char *at, size_t bytes) {
    for (size_t i = 0; i < bytes; i++)
        if (at[i] != 0)
            return false;
    return true;
}

/* Fails when objects overlap, are not zeroed (rewound memory is dirty) or lose their alignment. */
static void objects_are_apart_zeroed_aligned(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    assert_non_null(arena);
    struct fuse_arena_mark start = fuse_arena_mark(arena);
    for (int round = 0; round < 3; round++) {
        unsigned char *object[300];
        size_t bytes[300];
        for (size_t i = 0; i < 300; i++) {
            bytes[i] = i == 150 ? (size_t)9 << 20 : i * i % 4099;
            object[i] = fuse_arena_alloc(arena, bytes[i]);
            assert_int_equal((uintptr_t)object[i] % 16, 0);
            assert_true(all_zero(object[i], bytes[i]));
            memset(object[i], (int)(i % 255) + 1, bytes[i]);
        }
        for (size_t i = 0; i < 300; i++)
            for (size_t k = 0; k < bytes[i]; k++)
                assert_true(object[i][k] == i % 255 + 1);
        fuse_arena_rewind(arena, start);
    }
    fuse_arena_close(arena);
    fuse_arena_close(NULL);
}

static void empty_objects_have_places(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    void *a = fuse_arena_alloc(arena, 0), *b = fuse_arena_alloc(arena, 0);
    assert_non_null(a);
    assert_ptr_not_equal(a, b);
    assert_non_null(fuse_arena_array(arena, 0, 8));
    fuse_arena_close(arena);
}

static void rewind_gives_blocks_back(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    char *kept = fuse_arena_strndup(arena, "kept", 4);
    size_t before = fuse_arena_bytes(arena);
    struct fuse_arena_mark mark = fuse_arena_mark(arena);
    for (int i = 0; i < 1000; i++)
        fuse_arena_alloc(arena, 10000);
    assert_true(fuse_arena_bytes(arena) >= 10000000);
    fuse_arena_rewind(arena, mark);
    assert_int_equal(fuse_arena_bytes(arena), before);
    assert_string_equal(kept, "kept");
    char *first = fuse_arena_alloc(arena, 8);
    fuse_arena_rewind(arena, mark);
    assert_ptr_equal(fuse_arena_alloc(arena, 8), first);
    fuse_arena_close(arena);
}

/* Fails when a use after rewind or one past the end would go unnoticed. */
static void unused_bytes_are_poisoned(void **state) {
    (void)state;
    if (!POISONS)
        skip();
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_arena_mark mark = fuse_arena_mark(arena);
    char *a = fuse_arena_alloc(arena, 13);
    char *b = fuse_arena_alloc(arena, 16);
    assert_false(is_poisoned(a + 12));
    assert_true(is_poisoned(a + 13));
    assert_false(is_poisoned(b + 15));
    assert_true(is_poisoned(b + 16));
    fuse_arena_rewind(arena, mark);
    assert_true(is_poisoned(a));
    assert_true(is_poisoned(b + 15));
    fuse_arena_close(arena);
}

static jmp_buf escape;
static size_t refused;

static void out_of_memory(size_t bytes) {
    refused = bytes;
    longjmp(escape, 1);
}

/* Fails when a size wraps round and a short object is handed out. */
static void overflow_is_out_of_memory(void **state) {
    (void)state;
    struct fuse_arena *volatile arena = fuse_arena_open(out_of_memory);
    for (volatile int i = 0; i < 3; i++) {
        refused = 0;
        if (setjmp(escape) == 0) {
            if (i == 0)
                fuse_arena_array(arena, SIZE_MAX / 2, 3);
            else if (i == 1)
                fuse_arena_alloc(arena, SIZE_MAX - 8);
            else
                fuse_arena_grow(arena, NULL, 0, SIZE_MAX / 4, 8);
            fail_msg("a handler that must not return was not called");
        }
        assert_true(refused > SIZE_MAX / 2);
    }
    assert_non_null(fuse_arena_alloc(arena, 100));
    fuse_arena_close(arena);
}

static void copies(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    assert_string_equal(fuse_arena_strndup(arena, "abcdef", 3), "abc");
    assert_string_equal(fuse_arena_strndup(arena, NULL, 0), "");
    assert_string_equal(fuse_arena_printf(arena, "%d-%s", 7, "x"), "7-x");
    assert_string_equal(fuse_arena_printf(arena, "%s", ""), "");
    char *wide = fuse_arena_printf(arena, "%*d", 50000, 1);
    assert_int_equal(strlen(wide), 50000);
    int *old = FUSE_NEW_ARRAY(arena, int, 3);
    old[2] = 5;
    int *grown = fuse_arena_grow(arena, old, 3, 6, sizeof *old);
    assert_int_equal(grown[2], 5);
    assert_int_equal(grown[5], 0);
    fuse_arena_close(arena);
}

static void vectors_grow(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    FUSE_VEC(int64_t) v = {0};
    for (int64_t i = 0; i < 10000; i++)
        fuse_vec_push(arena, &v, i * i);
    assert_int_equal(v.n, 10000);
    for (int64_t i = 0; i < 10000; i++)
        assert_int_equal(v.at[i], i * i);
    fuse_arena_close(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_are_apart_zeroed_aligned),
        cmocka_unit_test(empty_objects_have_places),
        cmocka_unit_test(rewind_gives_blocks_back),
        cmocka_unit_test(unused_bytes_are_poisoned),
        cmocka_unit_test(overflow_is_out_of_memory),
        cmocka_unit_test(copies),
        cmocka_unit_test(vectors_grow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
