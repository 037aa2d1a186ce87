/* Rules from a small text, for tests and benches. A line each:
 *
 *     rel NAME KIND STRATUM EXTENT ..      KIND: bool, imin imax isum iprod (I64), min max sum prod mean (F64)
 *     free NAME ..                         variables of the following rules that are free
 *     NAME(t, ..) = [!|?]NAME(t, ..) .. [when TEST ..] [value WORD ..]
 *
 * Terms: x, x+1, x-2, 7. Tests: x<y, x<=y, x==y, x!=y with a variable on the left, a variable or number on the right. Values in
 * postfix: @K the value of atom K, #x the id of a variable, a number, + * min max. ?: support only. */
#ifndef FUSE_TESTS_RULE_TEXT_H
#define FUSE_TESTS_RULE_TEXT_H

#include "core/rules.h"

/* Ends the program when the text is wrong. */
struct fuse_rules *rules_of_text(struct fuse_arena *arena, const char *text);
int relation_named(const struct fuse_rules *rules, const char *name);

#endif
