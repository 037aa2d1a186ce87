/* A policy's fields after reading, and which pattern decides. */
#include "api/policy.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>

static void test_patterns(void **unused) {
    (void)unused;
    static const struct {
        const char *pattern, *name;
        int fit; /* one more than the letters that are no wildcards; INT_MAX: the name */
    } cases[] = {
        {"W", "W", INT_MAX},
        {"W", "W1", 0},
        {"W1", "W", 0},
        {"*", "W", 1},
        {"*", "", 1},
        {"W*", "W", 2},
        {"W*1", "W11", 3},
        {"W*1", "W12", 0},
        {"?", "W", 1},
        {"?", "", 0},
        {"W?", "W", 0},
        {"[A-C]x", "Bx", 2},
        {"[A-C]x", "Dx", 0},
        {"[!A-C]x", "Dx", 2},
        {"[!A-C]x", "Ax", 0},
        {"[x", "[x", INT_MAX},
        {"*[x", "a[x", 3},
        {"[]]", "]", 1},
        {"[a-]", "-", 1},
        {"*::W", "a::b::W", 4},
        {"*.h5:/y", "o.h5:/y", 7},
        {"a*b*c", "aXbXbYc", 4},
        {"a*b*c", "aXbXbYd", 0},
        {"W*", "W*", INT_MAX},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fit = fuse_policy_fit(cases[i].pattern, cases[i].name);
        if (fit != cases[i].fit)
            fail_msg("'%s' and '%s': %d, not %d", cases[i].pattern, cases[i].name, fit, cases[i].fit);
    }
}

/* A matcher that tries every '*' anew does not end within years. */
static void test_a_pattern_of_many_stars(void **unused) {
    (void)unused;
    char pattern[2001], name[4001];
    for (int i = 0; i < 2000; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    memset(name, 'a', 4000);
    pattern[2000] = name[4000] = '\0';
    pattern[1999] = 'b';
    assert_int_equal(fuse_policy_fit(pattern, name), 0);
}

static void test_the_most_specific_decides(void **unused) {
    (void)unused;
    struct fuse_policy_sharding rule[4] = {
        {.pattern.at = "*"}, {.pattern.at = "W*"}, {.pattern.at = "*1"}, {.pattern.at = "W1"}};
    static const struct {
        const char *name;
        int rule, rival;
    } cases[] = {{"X", 0, -1}, {"W", 1, -1}, {"X1", 2, -1}, {"W1", 3, -1}, {"W21", 1, 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fuse_policy_choice choice = fuse_policy_choose(rule, 4, sizeof *rule, cases[i].name);
        assert_int_equal(choice.rule, cases[i].rule);
        assert_int_equal(choice.rival, cases[i].rival);
    }
    assert_int_equal(fuse_policy_choose(rule + 1, 3, sizeof *rule, "Y").rule, -1);
}

struct read {
    struct fuse_arena *arena;
    struct fuse_files files;
    struct fuse_diagnostics diagnostics;
    struct fuse_policy policy;
    enum fuse_status status;
};

static void read_policy(struct read *out, const char *path, const char *text) {
    struct fuse_error err = {0};
    *out = (struct read){.arena = fuse_arena_open(NULL)};
    out->files.arena = out->diagnostics.arena = out->arena;
    struct fuse_program_file file = {.path = path, .text = text, .bytes = strlen(text)};
    fuse_vec_push(out->arena, &out->files.list, file);
    out->status = fuse_policy_parse(&out->policy, out->arena, &out->files, 0, &out->diagnostics, &err);
}

static void test_fields(void **unused) {
    (void)unused;
    static const char text[] =
        "{\"sharding\": {\"a\": {\"i\": [\"m\", \"d\"], \"1\": \"r\"}, \"b\": \"column\"},\n"
        " \"mesh\": {\"d\": 2, \"m\": 61, \"r\": \"*\"},\n"
        " \"weights\": \"w.json\", \"output_root\": \"/abs\", \"strict_weights\": true,\n"
        " \"quantization\": {\"W*\": {\"mode\": \"affine\", \"dtype\": \"uint8\", \"scale\": [0.5, 2], \"zero_point\": "
        "3,\n"
        "                          \"group_size\": 64}},\n"
        " \"lora\": {\"s\": \"x\", \"t\": null},\n"
        " \"temperatures\": {\"p\": {\"schedule\": \"piecewise\", \"points\": [[0, 1], [5, 0.25]]}, \"c\": 3},\n"
        " \"io\": {\"y\": {\"chunks\": [4, 5], \"gzip\": 9}, \"z\": {\"chunks\": \"auto\"}}}";
    struct read r;
    read_policy(&r, "folder/p.json", text);
    assert_int_equal(r.status, FUSE_OK);
    assert_int_equal(r.diagnostics.errors, 0);
    const struct fuse_policy *p = &r.policy;
    assert_int_equal(p->mesh.n, 3);
    assert_int_equal(p->mesh.at[1].size, 61);
    assert_int_equal(p->mesh.at[2].size, 0);
    assert_int_equal(p->sharding.n, 2);
    assert_int_equal(p->sharding.at[0].splits, 2);
    assert_int_equal(p->sharding.at[0].split[0].dims, 2);
    assert_int_equal(p->sharding.at[0].split[0].dim[0], 1);
    assert_int_equal(p->sharding.at[0].split[0].dim[1], 0);
    assert_string_equal(p->sharding.at[0].split[1].axis.at, "1");
    assert_int_equal(p->sharding.at[1].shape, FUSE_POLICY_COLUMN);
    assert_string_equal(p->weights.at, "folder/w.json");
    assert_string_equal(p->output_root.at, "/abs");
    assert_true(p->strict_weights.given && p->strict_weights.on && !p->strict_mmap.given);
    const struct fuse_policy_quantization *q = &p->quantization.at[0];
    assert_string_equal(q->dtype.at, "uint8");
    assert_true(q->has_scale && q->scales == 2 && q->scale[1] == 2.0);
    assert_true(q->has_zero_point && q->zero_points == 1 && q->zero_point[0] == 3 && q->group_size == 64);
    assert_int_equal(p->lora.n, 2);
    assert_null(p->lora.at[1].adapter.at);
    assert_int_equal(p->temperatures.at[0].points, 2);
    assert_true(p->temperatures.at[0].point[1].step == 5 && p->temperatures.at[0].point[1].temperature == 0.25);
    assert_true(p->temperatures.at[1].kind == FUSE_POLICY_CONSTANT && p->temperatures.at[1].point[0].temperature == 3);
    assert_true(p->io.at[0].chunk_rank == 2 && p->io.at[0].chunk[1] == 5 && p->io.at[0].gzip_level == 9);
    assert_true(p->io.at[1].chunks_auto && !p->io.at[1].gzip.at);
    fuse_arena_close(r.arena);
}

/* Each has one mistake, whose place is where '^' stands in the line below. */
static void test_mistakes(void **unused) {
    (void)unused;
    static const struct {
        const char *text, *place;
    } cases[] = {
        {"{\"mesh\": []}", "         ^"},
        {"{\"mesh\": {\"d\": 0}}", "               ^"},
        {"{\"mesh\": {\"d\": 1.5}}", "               ^"},
        {"{\"mesh\": {\"\": 2}}", "         ^"},
        {"{\"sharding\": {\"a\": {\"i\": 3}}}", "                         ^"},
        {"{\"sharding\": {\"a\": {\"i\": [\"*\", \"*\"]}}}", "                               ^"},
        {"{\"strict_mmap\": 1, \"weights\": \"w\"}", "                ^"},
        {"{\"weights\": \"\"}", "            ^"},
        {"{\"lora\": {\"s\": 1}}", "               ^"},
        {"{\"quantization\": {\"W\": {\"scale\": []}}}", "                                 ^"},
        {"{\"quantization\": {\"W\": {\"scale\": [1, -1]}}}", "                                     ^"},
        {"{\"quantization\": {\"W\": {\"mode\": \"x\"}}}", "                                ^"},
        {"{\"quantization\": {\"W\": {\"size\": 1}}}", "                        ^"},
        {"{\"temperatures\": {\"a\": -1}}", "                       ^"},
        {"{\"temperatures\": {\"a\": {\"schedule\": \"x\"}}}", "                                    ^"},
        {"{\"temperatures\": {\"a\": {\"from\": 1}}}", "                       ^"},
        {"{\"temperatures\": {\"a\": {\"schedule\": \"piecewise\", \"points\": []}}}",
         "                                                           ^"},
        {"{\"temperatures\": {\"a\": {\"schedule\": \"piecewise\", \"points\": [[1, 1], [1, 2]]}}}",
         "                                                                     ^"},
        {"{\"io\": {\"a\": {\"chunks\": []}}}", "                        ^"},
        {"{\"io\": {\"a\": {\"chunks\": [0]}}}", "                         ^"},
        {"{\"io\": {\"a\": {\"gzip\": 10}}}", "                      ^"},
        {"{\"io\": {\"a\": {\"zip\": 1}}}", "              ^"},
        {"{\"nothing\": 1}", " ^"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct read r;
        read_policy(&r, "p.json", cases[i].text);
        assert_int_equal(r.status, FUSE_OK);
        if (r.diagnostics.errors != 1 || r.diagnostics.list.at[0].span.begin != strlen(cases[i].place) - 1)
            fail_msg("%s: %d errors, the first at %u", cases[i].text, r.diagnostics.errors,
                     r.diagnostics.errors > 0 ? r.diagnostics.list.at[0].span.begin : 0);
        fuse_arena_close(r.arena);
    }
}

static void test_no_json(void **unused) {
    (void)unused;
    static const char *const text[] = {"",   "[]", "{", "{\"io\": {}, \"io\": {}}", "{\"io\": {}} x", "{\"\xff\": 1}",
                                       "nul"};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        struct read r;
        read_policy(&r, "p.json", text[i]);
        assert_int_equal(r.status, FUSE_EINPUT);
        fuse_arena_close(r.arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_a_pattern_of_many_stars),
        cmocka_unit_test(test_the_most_specific_decides),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_no_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
