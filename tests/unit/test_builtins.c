/* The table of builtins: every row is fit for the checker, for help and for the manual. What would make it fail: a row whose
 * signature does not parse, two rows of one name, a preset that is no number, groups that do not stand together. */
#include "api/fuse_dist.h"
#include "lang/builtins.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static void every_row_is_sound(void **state) {
    (void)state;
    struct fuse_arena *arena = fuse_arena_open(NULL);
    for (int b = 0; b < FUSE_BUILTINS; b++) {
        const struct fuse_builtin *row = fuse_builtin_at(b);
        struct fuse_formal formal[FUSE_MAX_FORMALS];
        assert_int_equal((int)row->code, b);
        assert_ptr_equal(fuse_builtin_find(row->name), row); /* no other row has its name */
        assert_true(row->doc[0] && row->doc[strlen(row->doc) - 1] != '.');
        int n = fuse_builtin_formals(formal, row, arena);
        assert_true(n == -1 ? strstr(row->signature, "..") != NULL : n > 0);
        bool optional = false;
        for (int k = 0; k < n; k++) {
            char *end;
            assert_true(formal[k].name[0] != '\0');
            assert_true(formal[k].optional || !optional); /* what must be given comes first */
            optional = formal[k].optional;
            (void)strtod(formal[k].preset, &end);
            assert_int_equal(*end, '\0');
            for (int j = 0; j < k; j++)
                assert_string_not_equal(formal[j].name, formal[k].name);
        }
    }
    assert_null(fuse_builtin_at(FUSE_BUILTINS));
    assert_null(fuse_builtin_at(-1));
    assert_ptr_equal(fuse_builtin_find("SoftMax"), fuse_builtin_at(FUSE_BUILTIN_SOFTMAX));
    fuse_arena_close(arena);
}

static void help_tells_all_of_them_group_by_group(void **state) {
    (void)state;
    struct fuse_dist_builtin row;
    const char *seen[64];
    int rows = 0, groups = 0;
    for (; fuse_dist_builtin(&row, rows); rows++) {
        assert_string_equal(row.name, fuse_builtin_at(rows)->name);
        assert_true(row.axes[0] && row.type[0] && row.group[0]);
        if (groups == 0 || strcmp(seen[groups - 1], row.group) != 0) {
            for (int g = 0; g < groups; g++)
                assert_string_not_equal(seen[g], row.group);
            seen[groups++] = row.group;
        }
    }
    assert_int_equal(rows, FUSE_BUILTINS);
    assert_false(fuse_dist_builtin(&row, -1));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_sound),
        cmocka_unit_test(help_tells_all_of_them_group_by_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
