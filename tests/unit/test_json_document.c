/* Small JSON documents: what is accepted, the place and the words of what is not, and the getters. What would make these
 * fail: a text that RFC 8259 refuses is taken or one that it allows is not, a line or a column is off, a value is changed.
 */
#include "io/json_document.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static const struct fuse_document_limits none = {0};

static enum fuse_status parse(struct fuse_document *doc, struct fuse_arena *arena, const char *text, size_t bytes,
                              struct fuse_error *err) {
    *err = (struct fuse_error){0};
    return fuse_document_parse(doc, arena, text, bytes, "f.json", none, err);
}

#define TEXT(literal) literal, sizeof(literal) - 1

static void refuses_with_a_place(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t bytes;
        const char *place, *reason;
    } row[] = {
        {TEXT(""), "1:1", "ends too early"},
        {TEXT("  \n "), "2:2", "ends too early"},
        {TEXT("\xEF\xBB\xBF{}"), "1:1", "byte order mark"},
        {TEXT("{} {}"), "1:4", "behind the end"},
        {TEXT("[1]\0"), "1:4", "behind the end"},
        {TEXT("[1,]"), "1:4", "expected behind ','"},
        {TEXT("{\"a\":1,}"), "1:8", "expected behind ','"},
        {TEXT("[1 2]"), "1:4", "',' or ']'"},
        {TEXT("{\"a\":1 \"b\":2}"), "1:8", "',' or '}'"},
        {TEXT("{a:1}"), "1:2", "a key in '\"'"},
        {TEXT("{\"a\" 1}"), "1:6", "a ':'"},
        {TEXT("{\"a\":}"), "1:6", "a value was expected"},
        {TEXT("[1"), "1:3", "',' or ']'"},
        {TEXT("{\n  \"a\": [true,\n tru]}"), "3:2", "neither a number nor"},
        {TEXT("NaN"), "1:1", "neither a number nor"},
        {TEXT("[Infinity]"), "1:2", "neither a number nor"},
        {TEXT("// no\n{}"), "1:1", "a value was expected"},
        {TEXT("'a'"), "1:1", "a value was expected"},
        {TEXT("[+1]"), "1:2", "a value was expected"},
        {TEXT("[.5]"), "1:2", "a value was expected"},
        {TEXT("[01]"), "1:2", "may not begin with 0"},
        {TEXT("[-]"), "1:2", "'-' without a number"},
        {TEXT("[1.]"), "1:4", "digits are missing behind '.'"},
        {TEXT("[1.5e]"), "1:6", "digits are missing in the exponent"},
        {TEXT("[1e999]"), "1:2", "largest f64"},
        {TEXT("[9007199254740993]"), "1:2", "beyond 2^53"},
        {TEXT("[-9007199254740993]"), "1:2", "beyond 2^53"},
        {TEXT("[0.0000000000000000000000000000000000000000000000000000000000001]"), "1:2", "60 characters"},
        {TEXT("\"abc"), "1:1", "does not end"},
        {TEXT("\"a\nb\""), "1:3", "must end on its line"},
        {TEXT("\"a\tb\""), "1:3", "control character"},
        {TEXT("\"\0\""), "1:2", "control character"},
        {TEXT("\"\\x41\""), "1:2", "unknown escape"},
        {TEXT("\"\\"), "1:2", "unknown escape"},
        {TEXT("\"\\u12g4\""), "1:2", "four hexadecimal digits"},
        {TEXT("\"\\u12"), "1:2", "four hexadecimal digits"},
        {TEXT("\"\\u0000\""), "1:2", "a NUL"},
        {TEXT("\"\\ud83d\""), "1:2", "without the second"},
        {TEXT("\"\\ud83d\\u0041\""), "1:2", "without the second"},
        {TEXT("\"\\ude00\""), "1:2", "without the first"},
        {TEXT("\"\xc3\xa9\xff\""), "1:3", "not UTF-8"},
        {TEXT("\"\xc0\x80\""), "1:2", "not UTF-8"},
        {TEXT("\"\xed\xa0\x80\""), "1:2", "not UTF-8"},
        {TEXT("\"\xf4\x90\x80\x80\""), "1:2", "not UTF-8"},
        {TEXT("{\"a\": 1,\n \"b\": 2,\n \"a\": 3}"), "3:2", "\"a\" stands twice in this object, first at 1:2"},
        {TEXT("{\"a\": 1, \"\\u0061\": 3}"), "1:10", "\"a\" stands twice"},
        {TEXT("[{\"z\":1,\"z\":1},{\"a\":1,\"a\":1}]"), "1:9", "\"z\" stands twice"},
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct fuse_arena *arena = fuse_arena_open(NULL);
        struct fuse_document doc;
        struct fuse_error err;
        char prefix[32];
        snprintf(prefix, sizeof prefix, "f.json:%s: ", row[i].place);
        assert_int_equal(parse(&doc, arena, row[i].text, row[i].bytes, &err), FUSE_EINPUT);
        if (strncmp(err.message, prefix, strlen(prefix)) != 0 || !strstr(err.message, row[i].reason) || !err.hint[0])
            fail_msg("%s: wanted %s%s, got %s", row[i].text, prefix, row[i].reason, err.message);
        fuse_arena_close(arena);
    }
}

/* `depth` lists inside each other. */
static enum fuse_status parse_nested(size_t depth) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_document doc;
    struct fuse_error err;
    char *text = malloc(2 * depth);
    memset(text, '[', depth);
    memset(text + depth, ']', depth);
    enum fuse_status st = parse(&doc, arena, text, 2 * depth, &err);
    free(text);
    fuse_arena_close(arena);
    return st;
}

static void bounds_depth_values_and_bytes(void **state) {
    (void)state;
    assert_int_equal(parse_nested(64), FUSE_OK);
    assert_int_equal(parse_nested(65), FUSE_EINPUT);
    assert_int_equal(parse_nested(1 << 20), FUSE_EINPUT);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_document doc;
    struct fuse_error err = {0};
    struct fuse_document_limits limits = {.values = 4, .bytes = 8};
    assert_int_equal(fuse_document_parse(&doc, arena, "[1,2,3]", 7, "f", limits, &err), FUSE_OK);
    assert_int_equal(fuse_document_parse(&doc, arena, "[1,2,3,4]", 9, "f", limits, &err), FUSE_EINPUT);
    assert_non_null(strstr(err.message, "f has 9 bytes"));
    limits.bytes = 9;
    err = (struct fuse_error){0};
    assert_int_equal(fuse_document_parse(&doc, arena, "[1,2,3,4]", 9, "f", limits, &err), FUSE_EINPUT);
    assert_string_equal(err.message, "f:1:8: too many values in one document");
    fuse_arena_close(arena);
}

static void keeps_every_value(void **state) {
    (void)state;
    static const char text[] =
        "{\"n\": null, \"t\": true, \"f\": false, \"i\": -9007199254740992, \"z\": -0, \"r\": 1e2, \"d\": 0.1,\n"
        "\"s\": \"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00 \xe2\x82\xac\", \"l\": [[], {}, [1, 2.5]], \"\": "
        "7}\n";
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_document doc;
    struct fuse_error err;
    assert_int_equal(parse(&doc, arena, text, sizeof text - 1, &err), FUSE_OK);
    const struct fuse_document_value *root = doc.root, *l = fuse_document_find(root, "l");
    assert_int_equal(root->kind, FUSE_DOCUMENT_OBJECT);
    assert_int_equal(root->members, 10);
    assert_int_equal(fuse_document_find(root, "n")->kind, FUSE_DOCUMENT_NULL);
    assert_true(fuse_document_find(root, "t")->truth);
    assert_int_equal(fuse_document_find(root, "f")->kind, FUSE_DOCUMENT_BOOL);
    assert_false(fuse_document_find(root, "f")->truth);
    assert_true(fuse_document_find(root, "i")->integer == -9007199254740992);
    assert_int_equal(fuse_document_find(root, "z")->kind, FUSE_DOCUMENT_INTEGER);
    assert_int_equal(fuse_document_find(root, "r")->kind, FUSE_DOCUMENT_REAL);
    assert_true(fuse_document_find(root, "r")->real == 100.0);
    assert_true(fuse_document_find(root, "d")->real == 0.1);
    assert_string_equal(fuse_document_find(root, "s")->string, "\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80 \xe2\x82\xac");
    assert_int_equal(l->members, 3);
    assert_int_equal(l->first->members, 0);
    assert_int_equal(l->first->next->kind, FUSE_DOCUMENT_OBJECT);
    assert_true(l->first->next->next->first->next->real == 2.5);
    assert_int_equal(fuse_document_find(root, "")->integer, 7);
    assert_null(fuse_document_find(root, "x"));
    int line, column;
    fuse_document_place(&doc, l->key_offset, &line, &column);
    assert_int_equal(line, 2);
    assert_int_equal(column, 46); /* the euro sign is one column */
    fuse_arena_close(arena);
}

static void many_members_are_compared(void **state) {
    (void)state;
    enum { MEMBERS = 50000 };
    char *text = malloc(MEMBERS * 16), *at = text;
    for (int i = 0; i < MEMBERS; i++)
        at += sprintf(at, "%c\"k%d\":%d\n", i ? ',' : '{', i, i);
    *at++ = '}';
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_document doc;
    struct fuse_error err;
    assert_int_equal(parse(&doc, arena, text, (size_t)(at - text), &err), FUSE_OK);
    assert_int_equal(fuse_document_find(doc.root, "k49999")->integer, 49999);
    at += sprintf(at - 1, ",\"k777\":1}") - 1;
    assert_int_equal(parse(&doc, arena, text, (size_t)(at - text), &err), FUSE_EINPUT);
    assert_string_equal(err.message, "f.json:50001:2: the key \"k777\" stands twice in this object, first at 778:2");
    fuse_arena_close(arena);
    free(text);
}

static void expect_message(enum fuse_status st, struct fuse_error *err, const char *message, const char *hint) {
    assert_int_equal(st, FUSE_EINPUT);
    assert_string_equal(err->message, message);
    assert_string_equal(err->hint, hint);
    *err = (struct fuse_error){0};
}

static void getters_tell_what_is_wrong(void **state) {
    (void)state;
    static const char text[] = "{\"mesh\": [2, 4],\n \"strict_weight\": 1,\n \"root\": 7, \"n\": 1.5, \"m\": 99}";
    static const char *const keys[] = {"mesh", "strict_weights", "root", "n", "m", NULL};
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_document doc;
    struct fuse_error err;
    const struct fuse_document_value *list = NULL;
    const char *string = "as before";
    int64_t integer = 5;
    double real = 0;
    bool truth = true;
    assert_int_equal(parse(&doc, arena, text, sizeof text - 1, &err), FUSE_OK);
    const struct fuse_document_value *root = doc.root;
    expect_message(fuse_document_known(&doc, root, keys, "a policy", &err), &err,
                   "f.json:2:2: \"strict_weight\" is no key of a policy", "did you mean 'strict_weights'?");
    expect_message(fuse_document_known(&doc, root, keys + 2, "a policy", &err), &err,
                   "f.json:1:2: \"mesh\" is no key of a policy", "the keys are root, n, m");
    expect_message(fuse_document_get_string(&string, &doc, root, "root", false, &err), &err,
                   "f.json:3:10: \"root\" must be a string, not an integer", "write it in double quotes");
    expect_message(fuse_document_get_bool(&truth, &doc, root, "strict_weight", false, &err), &err,
                   "f.json:2:19: \"strict_weight\" must be true or false, not an integer", "write it without quotes");
    expect_message(fuse_document_get_integer(&integer, &doc, root, "n", 0, 9, false, &err), &err,
                   "f.json:3:18: \"n\" must be an integer, not a real number",
                   "write it without quotes, fraction and exponent");
    expect_message(fuse_document_get_integer(&integer, &doc, root, "m", 0, 9, false, &err), &err,
                   "f.json:3:28: \"m\" is 99", "it is an integer from 0 to 9");
    expect_message(fuse_document_get(&list, &doc, root, "mesh", FUSE_DOCUMENT_OBJECT, true, &err), &err,
                   "f.json:1:10: \"mesh\" must be an object, not a list",
                   "write it in '{' and '}', with a key for every member");
    expect_message(fuse_document_get_string(&string, &doc, root, "path", true, &err), &err,
                   "f.json:1:1: this object needs a \"path\"", "\"path\" is a string");
    assert_int_equal(fuse_document_get_string(&string, &doc, root, "path", false, &err), FUSE_OK);
    assert_string_equal(string, "as before");
    assert_int_equal(fuse_document_get_integer(&integer, &doc, root, "m", 0, 99, true, &err), FUSE_OK);
    assert_int_equal(integer, 99);
    assert_int_equal(fuse_document_get_real(&real, &doc, root, "m", true, &err), FUSE_OK);
    assert_true(real == 99);
    assert_int_equal(fuse_document_get_real(&real, &doc, root, "n", true, &err), FUSE_OK);
    assert_true(real == 1.5);
    assert_int_equal(fuse_document_get(&list, &doc, root, "mesh", FUSE_DOCUMENT_LIST, true, &err), FUSE_OK);
    assert_int_equal(list->members, 2);
    fuse_arena_close(arena);
}

static void shows_hostile_strings(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_document doc;
    struct fuse_error err;
    assert_int_equal(parse(&doc, arena, TEXT("1"), &err), FUSE_OK);
    assert_string_equal(fuse_document_shown(&doc, "a\x1b\"\n"), "\"a\\u001b\\\"\\n\"");
    char text[201];
    memset(text, 'x', 200);
    text[200] = '\0';
    memcpy(text + 59, "\xe2\x82\xac", 3);
    const char *shown = fuse_document_shown(&doc, text);
    assert_int_equal(strlen(shown), 59 + 3 + 2);
    assert_string_equal(shown + 58, "xx...\"");
    fuse_arena_close(arena);
}

static void reads_files(void **state) {
    (void)state;
    char path[] = "/tmp/fuse_document_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "[1, 2]\n", 7), 7);
    close(fd);
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_document doc;
    struct fuse_error err = {0};
    assert_int_equal(fuse_document_read(&doc, arena, path, none, &err), FUSE_OK);
    assert_int_equal(doc.root->first->next->integer, 2);
    struct fuse_document_limits small = {.bytes = 6};
    assert_int_equal(fuse_document_read(&doc, arena, path, small, &err), FUSE_EINPUT);
    unlink(path);
    err = (struct fuse_error){0};
    assert_int_equal(fuse_document_read(&doc, arena, path, none, &err), FUSE_EINPUT);
    fuse_arena_close(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_with_a_place),
        cmocka_unit_test(bounds_depth_values_and_bytes),
        cmocka_unit_test(keeps_every_value),
        cmocka_unit_test(many_members_are_compared),
        cmocka_unit_test(getters_tell_what_is_wrong),
        cmocka_unit_test(shows_hostile_strings),
        cmocka_unit_test(reads_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
