/* Symbols get numbers in the order of their adding, and keep them: texts of 1 to 40 bytes that differ in their first byte, their
 * last, their length or their table only, 150,000 of them, so that memory moves to large pages and slots are dealt out again.
 * A guess that is wrong, one that is never right, a number that changes and a text that is cut off fail here. */
#include "io/symbol_dictionary.h"
#include "tests/unit/random_ir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SYMBOLS = 150000, KEYS = 300 };

/* The text of symbol n of all that there are, and its table. */
static void make_key(struct fuse_symbol_key *key, char text[64], int n, const struct fuse_dictionary *d) {
    memset(text, 'x', 64); /* what stands behind is not part of it */
    int bytes = snprintf(text, 32, "%d", n / 5);
    text[bytes] = 'y';
    switch (n % 5) {
    case 0: break;
    case 1: bytes += 1; break;
    case 2: bytes += 33; break;
    case 3:
        memmove(text + 1, text, (size_t)bytes);
        text[0] = '-';
        bytes += 1;
        break;
    default: break;
    }
    *key = (struct fuse_symbol_key){text, (uint32_t)bytes, n % 5 == 4 ? 7 : 0, 0};
    key->hash = fuse_dictionary_hash(d, text, key->bytes, key->table);
}

static void look_up(struct fuse_dictionary *d, struct random_state *state, int64_t *number, int64_t *seen,
                    int64_t *guessed) {
    static char text[KEYS][64];
    struct fuse_symbol_key key[KEYS];
    uint32_t guess[KEYS];
    int which[KEYS], n = 1 + (int)random_below(state, KEYS);
    struct fuse_error err = {0};
    for (int k = 0; k < n; k++) {
        which[k] = (int)random_below(state, SYMBOLS);
        make_key(&key[k], text[k], which[k], d);
        fuse_dictionary_prefetch_slot(d, key[k].hash);
    }
    assert_int_equal(fuse_dictionary_reserve(d, (size_t)n, (size_t)n * 64, &err), FUSE_OK);
    fuse_dictionary_guess(d, guess, key, n);
    for (int k = 0; k < n; k++) {
        if (guess[k] != FUSE_DICTIONARY_UNKNOWN) {
            assert_int_equal(guess[k], number[which[k]]);
            ++*guessed;
        }
        bool is_new;
        uint32_t found = fuse_dictionary_find(d, &key[k], &is_new);
        assert_int_equal(is_new, number[which[k]] < 0);
        if (is_new)
            number[which[k]] = (*seen)++;
        assert_int_equal(found, number[which[k]]);
    }
}

static void numbers_are_kept(void **unused) {
    (void)unused;
    struct fuse_dictionary d;
    struct fuse_error err = {0};
    struct random_state state;
    int64_t *number = malloc(SYMBOLS * sizeof *number), seen = 0;
    assert_non_null(number);
    random_seed(&state, 3);
    assert_int_equal(fuse_dictionary_open(&d, 12345, &err), FUSE_OK);
    for (int round = 0; round < 2; round++) {
        int64_t guessed = 0, first = seen;
        memset(number, -1, SYMBOLS * sizeof *number);
        for (int batch = 0; batch < 6000; batch++)
            look_up(&d, &state, number, &seen, &guessed);
        /* Of some 900,000 look-ups all but the first of each symbol, and few that collide. */
        assert_true(seen - first > SYMBOLS * 9 / 10);
        assert_true(guessed > 500000);
        struct fuse_symbol_key key;
        size_t at = 0;
        for (int64_t k = first; fuse_dictionary_each(&d, &at, &key); k++)
            assert_in_range(key.bytes, 1, 48);
        fuse_dictionary_clear(&d);
    }
    fuse_dictionary_close(&d);
    free(number);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
