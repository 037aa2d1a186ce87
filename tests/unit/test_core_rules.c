/* What would make these fail: a broken rule that is accepted, a sound one that is refused, ids that do not come back from a
 * packed tuple or compare in another order, a join order that begins with the largest relation or crosses two. */
#include "core/rules.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

enum { EDGE, PATH, FAR, COST, NODE, RELATIONS };

static struct fuse_rule_relation relation[RELATIONS];
static struct fuse_rule_variable variable[3];
static struct fuse_rule_term head[2], first[2], second[2], third[2];
static struct fuse_rule_atom atom[3];
static struct fuse_rule rule;
static struct fuse_rules rules;
static struct fuse_scalar_node node[3];
static struct fuse_scalar guard = {.node = node};

/* Path(x, z) = Path(x, y) Edge(y, z) when x != z */
static void make_path(void) {
    const struct fuse_rule_relation facts = {
        .columns = 2, .extent = {100, 100}, .dtype = FUSE_BOOL, .combine = FUSE_REDUCE_OR};
    for (int r = 0; r < RELATIONS; r++)
        relation[r] = facts;
    relation[EDGE].name = "Edge", relation[EDGE].stratum = -1;
    relation[PATH].name = "Path", relation[PATH].stratum = 0;
    relation[FAR].name = "Far", relation[FAR].stratum = 1;
    relation[COST].name = "Cost", relation[COST].stratum = 1, relation[COST].dtype = FUSE_F64;
    relation[COST].combine = FUSE_REDUCE_SUM;
    relation[NODE].name = "Node", relation[NODE].stratum = -1, relation[NODE].columns = 1;
    for (int v = 0; v < 3; v++)
        variable[v] = (struct fuse_rule_variable){.extent = 100};
    variable[0].name = "x", variable[1].name = "y", variable[2].name = "z";
    head[0].variable = 0, head[1].variable = 2;
    first[0].variable = 0, first[1].variable = 1;
    second[0].variable = 1, second[1].variable = 2;
    third[0].variable = 0, third[1].variable = 2;
    for (int k = 0; k < 2; k++)
        head[k].offset = first[k].offset = second[k].offset = third[k].offset = 0;
    memset(atom, 0, sizeof atom);
    atom[0].relation = PATH, atom[0].term = first;
    atom[1].relation = EDGE, atom[1].term = second;
    atom[2].relation = EDGE, atom[2].term = third;
    memset(node, 0, sizeof node);
    for (int k = 0; k < 2; k++)
        node[k] = (struct fuse_scalar_node){FUSE_SCALAR_IOTA, FUSE_I64, -1, -1, -1, 2 * k, 0, 0};
    node[2] = (struct fuse_scalar_node){FUSE_SCALAR_NE, FUSE_BOOL, 0, 1, -1, 0, 0, 0};
    guard.n = 3;
    rule = (struct fuse_rule){.span = FUSE_NO_SPAN,
                              .head = PATH,
                              .term = head,
                              .variables = 3,
                              .variable = variable,
                              .atoms = 2,
                              .atom = atom,
                              .guard = &guard};
    rules = (struct fuse_rules){RELATIONS, 1, 2, relation, &rule};
}

static enum fuse_status verify(void) {
    struct fuse_error err = {0};
    return fuse_rules_verify(&rules, &err);
}

static void test_sound_rules_are_accepted(void **state) {
    (void)state;
    make_path();
    assert_int_equal(verify(), FUSE_OK);
    assert_true(fuse_rule_is_recursive(&rules, &rule));
    rule.head = FAR, atom[0].is_negated = true; /* Far(x, z) = !Path(x, y) Edge(y, z): x is bound by nothing .. */
    assert_int_equal(verify(), FUSE_EBUG);
    variable[0].is_free = true; /* .. but may take every id */
    assert_int_equal(verify(), FUSE_OK);
    assert_false(fuse_rule_is_recursive(&rules, &rule));
    make_path();
    rule.head = FAR, rule.atoms = 1, head[1].variable = 0, atom[0].relation = EDGE;
    rule.guard = NULL, rule.atoms = 2, atom[1].is_negated = true, second[1].variable = 2; /* "there is no z" */
    assert_int_equal(verify(), FUSE_OK);
}

static void test_broken_rules_are_found(void **state) {
    (void)state;
    make_path(), rule.head = EDGE;
    assert_int_equal(verify(), FUSE_EBUG);
    make_path(), head[1].variable = 3;
    assert_int_equal(verify(), FUSE_EBUG);
    make_path(), second[1].variable = 1; /* z is bound by nothing */
    assert_int_equal(verify(), FUSE_EBUG);
    make_path(), atom[0].is_negated = true;
    assert_int_equal(verify(), FUSE_EBUG);
    make_path(), atom[1].relation = FAR; /* of a higher stratum */
    assert_int_equal(verify(), FUSE_EBUG);
    make_path(), rule.value = &guard; /* facts have no value */
    assert_int_equal(verify(), FUSE_EBUG);
    make_path(), rule.head = COST; /* numbers need one */
    assert_int_equal(verify(), FUSE_EBUG);
    make_path(), relation[PATH].combine = FUSE_REDUCE_MIN;
    assert_int_equal(verify(), FUSE_EBUG);
    make_path(), relation[PATH].dtype = FUSE_F64, relation[PATH].combine = FUSE_REDUCE_SUM, rule.value = &guard;
    assert_int_equal(verify(), FUSE_EBUG); /* a sum that depends on itself */
    make_path(), guard.n = 2;              /* not BOOL */
    assert_int_equal(verify(), FUSE_EBUG);
    make_path(), relation[FAR].columns = 9;
    for (int c = 0; c < 9; c++)
        relation[FAR].extent[c] = FUSE_MAX_EXTENT;
    assert_int_equal(verify(), FUSE_EPROGRAM);
    relation[FAR].columns = 8;
    assert_int_equal(verify(), FUSE_OK);
}

static uint64_t random_state = 88172645463325252u;

static int64_t draw(int64_t below) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (int64_t)(random_state >> 1) % below;
}

static void test_packed_ids(void **state) {
    (void)state;
    for (int k = 0; k < 2000; k++) {
        int columns = (int)draw(8);
        int64_t extent[8], id[2][8];
        uint64_t tuple[2][8] = {{0}};
        for (int c = 0; c < columns; c++)
            extent[c] = draw(3) == 0 ? 1 + draw(3) : 1 + draw((int64_t)1 << (1 + draw(60)));
        struct fuse_rule_packing packing = fuse_rule_pack(columns, extent);
        assert_in_range(packing.words, 1, 8);
        for (int t = 0; t < 2; t++)
            for (int c = 0; c < columns; c++) {
                id[t][c] = t > 0 && draw(2) ? id[0][c] : draw(2) ? extent[c] - 1 : draw(extent[c]);
                assert_int_equal(tuple[t][packing.word[c]] >> packing.shift[c] & packing.mask[c], 0);
                tuple[t][packing.word[c]] |= (uint64_t)id[t][c] << packing.shift[c];
            }
        int of_ids = 0, of_words = 0;
        for (int c = 0; c < columns && of_ids == 0; c++)
            of_ids = (id[0][c] > id[1][c]) - (id[0][c] < id[1][c]);
        for (int w = 0; w < packing.words && of_words == 0; w++)
            of_words = (tuple[0][w] > tuple[1][w]) - (tuple[0][w] < tuple[1][w]);
        assert_int_equal(of_ids, of_words);
        for (int t = 0; t < 2; t++)
            for (int c = 0; c < columns; c++)
                assert_int_equal(fuse_rule_unpack_id(&packing, tuple[t], c), id[t][c]);
    }
}

static void test_order(void **state) {
    (void)state;
    int order[FUSE_RULE_ATOMS];
    int64_t sizes[RELATIONS] = {[EDGE] = 1000, [PATH] = 10, [NODE] = 3};
    make_path();
    /* To read the many edges and look up the few paths takes less than an index of the edges. */
    assert_int_equal(fuse_rule_order(order, &rules, &rule, -1, sizes), 2);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 0);
    assert_int_equal(fuse_rule_order(order, &rules, &rule, 1, sizes), 2);
    assert_int_equal(order[0], 1);
    rule.atoms = 3, atom[1].is_negated = true; /* negated atoms are not joined */
    assert_int_equal(fuse_rule_order(order, &rules, &rule, 0, sizes), 2);
    assert_int_equal(order[1], 2);
    /* Path(x, y), Edge(y, z) and Node(z): from Path on, Edge before the product with Node of 30. */
    atom[1].is_negated = false, atom[2].relation = NODE, third[0].variable = 2, sizes[NODE] = 30;
    assert_int_equal(fuse_rule_order(order, &rules, &rule, 0, sizes), 3);
    assert_int_equal(order[1], 1);
    assert_int_equal(order[2], 2);
    third[0].variable = -1, sizes[NODE] = 50; /* Node(0): a test */
    assert_int_equal(fuse_rule_order(order, &rules, &rule, -1, sizes), 3);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[2], 2); /* the paths leave fewer */
}

static void test_print(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_text text = {.arena = arena};
    make_path();
    first[1].offset = -2;
    fuse_rules_print(&text, &rules);
    assert_non_null(strstr(text.at, "relation Path[100, 100] bool or stratum 0\n"));
    assert_non_null(strstr(text.at, "rule Path(x, z) = Path(x, y-2) Edge(y, z) when ne(iota(0), iota(2))\n"));
    fuse_arena_close(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound_rules_are_accepted),
        cmocka_unit_test(test_broken_rules_are_found),
        cmocka_unit_test(test_packed_ids),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_print),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
