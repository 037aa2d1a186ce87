#include "core/hash.h"
#include "core/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static int open_arena(void **state) {
    *state = fuse_arena_open(NULL);
    return *state ? 0 : -1;
}

static int close_arena(void **state) {
    fuse_arena_close(*state);
    return 0;
}

static void text_grows(void **state) {
    struct fuse_text text = {.arena = *state};
    assert_null(text.at);
    fuse_text_add(&text, "%s", "");
    assert_string_equal(text.at, "");
    char expected[3000];
    size_t bytes = 0;
    for (int i = 0; i < 500; i++) {
        fuse_text_add(&text, "%d,", i);
        bytes += (size_t)snprintf(expected + bytes, sizeof expected - bytes, "%d,", i);
    }
    assert_int_equal(text.bytes, bytes);
    assert_string_equal(text.at, expected);
    fuse_text_add_bytes(&text, "a\0b", 3);
    assert_int_equal(text.bytes, bytes + 3);
    assert_memory_equal(text.at + bytes, "a\0b", 4);
    fuse_text_add(&text, "%*d", 100000, 7);
    assert_int_equal(text.bytes, bytes + 100003);
    assert_int_equal(text.at[text.bytes - 1], '7');
}

/* Fails when a formatted piece that exactly fills the room loses its last byte or writes past it. */
static void text_at_every_room(void **state) {
    for (int first = 0; first < 200; first++)
        for (int second = 60; second < 70; second++) {
            struct fuse_arena_mark mark = fuse_arena_mark(*state);
            struct fuse_text text = {.arena = *state};
            fuse_text_add(&text, "%0*d", first, 0);
            fuse_text_add(&text, "%0*d|", second, 0);
            assert_int_equal(text.bytes, (first ? first : 1) + second + 1);
            assert_int_equal(strlen(text.at), text.bytes);
            assert_int_equal(text.at[text.bytes - 1], '|');
            fuse_arena_rewind(*state, mark);
        }
}

static const char *json(struct fuse_arena *arena, const char *string) {
    struct fuse_text text = {.arena = arena};
    fuse_text_add_json_string(&text, string);
    return text.at;
}

/* Fails when a string would give JSON that a parser refuses: raw control characters, quotes, bytes that are no UTF-8. */
static void json_strings(void **state) {
    assert_string_equal(json(*state, ""), "\"\"");
    assert_string_equal(json(*state, "a\"b\\c/"), "\"a\\\"b\\\\c/\"");
    assert_string_equal(json(*state, "\n\r\t\x01\x1f\x7f"), "\"\\n\\r\\t\\u0001\\u001f\\u007f\"");
    assert_string_equal(json(*state, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
                        "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    assert_string_equal(json(*state, "a\xff"
                                     "b"),
                        "\"a\\ufffdb\"");
    assert_string_equal(json(*state, "\xe2\x82"), "\"\\ufffd\\ufffd\"");
    assert_string_equal(json(*state, "\xc0\x80"), "\"\\ufffd\\ufffd\"");
    assert_string_equal(json(*state, "\xed\xa0\x80"), "\"\\ufffd\\ufffd\\ufffd\"");
    assert_string_equal(json(*state, "\xf4\x90\x80\x80"), "\"\\ufffd\\ufffd\\ufffd\\ufffd\"");
}

static void sizes(void **state) {
    static const struct {
        int64_t bytes;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.00 KiB"},
        {1536, "1.50 KiB"},
        {12897485, "12.3 MiB"},
        {INT64_C(1) << 30, "1.00 GiB"},
        {(INT64_C(1) << 30) - 1, "1.00 GiB"},
        {(INT64_C(1) << 20) - 600, "1023 KiB"},
        {10 * 1024 - 1, "10.0 KiB"},
        {100 * 1024 - 1, "100 KiB"},
        {INT64_MAX, "8.00 EiB"},
        {INT64_MIN, "-8.00 EiB"},
        {-5, "-5 B"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fuse_text text = {.arena = *state};
        fuse_text_add_size(&text, cases[i].bytes);
        assert_string_equal(text.at, cases[i].text);
    }
}

static void map_keeps_everything_in_order(void **state) {
    struct fuse_map map = {.arena = *state};
    int64_t value = -1;
    assert_false(fuse_map_get(&map, "k0", &value));
    assert_int_equal(value, -1);
    char key[32];
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        fuse_map_put(&map, key, i);
    }
    for (int i = 0; i < 5000; i += 2) {
        snprintf(key, sizeof key, "k%d", i);
        fuse_map_put(&map, key, -i);
    }
    assert_int_equal(map.keys.n, 5000);
    for (int i = 0; i < 5000; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_string_equal(map.keys.at[i], key);
        assert_true(fuse_map_get(&map, key, &value));
        assert_int_equal(value, i % 2 ? i : -i);
        assert_int_equal(map.values[i], value);
    }
    assert_false(fuse_map_get(&map, "k5000", &value));
    fuse_map_put(&map, "", 9);
    assert_true(fuse_map_get(&map, "", &value));
    assert_int_equal(value, 9);
}

static void distances(void **state) {
    (void)state;
    assert_int_equal(fuse_text_distance("", "", 3), 0);
    assert_int_equal(fuse_text_distance("softmax", "softmax", 0), 0);
    assert_int_equal(fuse_text_distance("sofmax", "softmax", 3), 1);
    assert_int_equal(fuse_text_distance("sotfmax", "softmax", 3), 1);
    assert_int_equal(fuse_text_distance("kitten", "sitting", 5), 3);
    assert_int_equal(fuse_text_distance("kitten", "sitting", 2), 3);
    assert_int_equal(fuse_text_distance("kitten", "sitting", 1), 2);
    /* Restricted edits: a swapped pair is not edited again. */
    assert_int_equal(fuse_text_distance("ca", "abc", 5), 3);
    assert_int_equal(fuse_text_distance("", "abc", 5), 3);
    assert_int_equal(fuse_text_distance("abc", "", 5), 3);
    char longer[300];
    memset(longer, 'a', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_int_equal(fuse_text_distance(longer, "a", 2), 3);
    assert_int_equal(fuse_text_distance(longer, longer, 2), 0);
    longer[127] = '\0';
    assert_int_equal(fuse_text_distance(longer, "aa", 500), 125);
}

/* The values are those of an implementation in another language. */
static void hashes(void **state) {
    (void)state;
    assert_true(fuse_hash_bytes(FUSE_HASH_SEED, "", 0) == UINT64_C(0xcbf29ce484222325));
    assert_true(fuse_hash_bytes(FUSE_HASH_SEED, "a", 1) == UINT64_C(0xaf63dc4c8601ec8c));
    assert_true(fuse_hash_bytes(FUSE_HASH_SEED, "foobar", 6) == UINT64_C(0x85944171f73967e8));
    assert_true(fuse_hash_string(FUSE_HASH_SEED, "ab") == UINT64_C(0xe72003190541fc1e));
    assert_true(fuse_hash_int(FUSE_HASH_SEED, -2) == UINT64_C(0xfc1a35225397861c));
    uint64_t one = fuse_hash_string(fuse_hash_string(FUSE_HASH_SEED, "ab"), "c");
    uint64_t two = fuse_hash_string(fuse_hash_string(FUSE_HASH_SEED, "a"), "bc");
    assert_true(one != two);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(text_grows, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(text_at_every_room, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(json_strings, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(sizes, open_arena, close_arena),
        cmocka_unit_test_setup_teardown(map_keeps_everything_in_order, open_arena, close_arena),
        cmocka_unit_test(distances),
        cmocka_unit_test(hashes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
