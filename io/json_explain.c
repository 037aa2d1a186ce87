/* The slow reader of JSON arrays, which knows where it is: it finds the first thing that is wrong with a file. */
#include "io/json_scan.h"

#include "core/box.h"

#include <stdio.h>

struct lists {
    int depth;                        /* lists that are open */
    int leaves;                       /* depth of the values, -1 before the first one */
    bool has_bool, has_number;        /* values so far */
    int64_t count[FUSE_MAX_AXES + 1]; /* elements of the open lists so far, [1] the outermost */
    int64_t extent[FUSE_MAX_AXES + 1];
    char reason[160];
};

/* Each sets the reason when something is wrong. */

static void open_list(struct lists *l) {
    if (l->leaves >= 0 && l->depth == l->leaves) {
        snprintf(l->reason, sizeof l->reason, "a list where the values before are %s",
                 l->has_bool ? "Booleans" : "numbers");
    } else if (l->depth == FUSE_MAX_AXES) {
        snprintf(l->reason, sizeof l->reason, "lists are nested deeper than %d, the most axes that a tensor has",
                 FUSE_MAX_AXES);
    } else {
        l->count[++l->depth] = 0;
    }
}

static void take_value(struct lists *l, bool is_bool) {
    const char *what = is_bool ? "a Boolean" : "a number";
    if (l->leaves >= 0 && l->depth < l->leaves)
        snprintf(l->reason, sizeof l->reason, "%s where the elements before are lists", what);
    else if (is_bool ? l->has_number : l->has_bool)
        snprintf(l->reason, sizeof l->reason, "%s where the values before are %s", what,
                 is_bool ? "numbers" : "Booleans");
    l->leaves = l->depth;
    l->has_bool |= is_bool;
    l->has_number |= !is_bool;
}

static void close_list(struct lists *l) {
    int d = l->depth;
    if (l->extent[d] > 0 && l->count[d] < l->extent[d])
        snprintf(l->reason, sizeof l->reason,
                 "a list of %lld element%s, where the lists before have %lld: rows must be equally long",
                 (long long)l->count[d], l->count[d] == 1 ? "" : "s", (long long)l->extent[d]);
    l->extent[d] = l->count[d];
    l->depth--;
}

static void expect_element(struct lists *l, const struct fuse_json_token *token, bool *is_behind) {
    *is_behind = false;
    switch (token->kind) {
    case FUSE_JSON_OPEN: open_list(l); break;
    case FUSE_JSON_INTEGER:
    case FUSE_JSON_REAL:
    case FUSE_JSON_BOOL:
        take_value(l, token->kind == FUSE_JSON_BOOL);
        *is_behind = true;
        break;
    case FUSE_JSON_CLOSE:
        snprintf(l->reason, sizeof l->reason, "%s",
                 l->depth == 0             ? "']' without '['"
                 : l->count[l->depth] == 0 ? "an empty list: its shape cannot be told"
                                           : "an element is missing between ',' and ']'");
        break;
    case FUSE_JSON_COMMA: snprintf(l->reason, sizeof l->reason, "an element is missing before ','"); break;
    case FUSE_JSON_END:
        snprintf(l->reason, sizeof l->reason, "%s",
                 l->depth ? "the file ends inside a list" : "the file holds nothing");
        break;
    case FUSE_JSON_BAD: snprintf(l->reason, sizeof l->reason, "%s", token->reason); break;
    }
}

static void expect_end_of_element(struct lists *l, const struct fuse_json_token *token, bool *is_behind) {
    *is_behind = true;
    if (token->kind == FUSE_JSON_BAD) {
        snprintf(l->reason, sizeof l->reason, "%s", token->reason);
    } else if (l->depth == 0) {
        if (token->kind != FUSE_JSON_END)
            snprintf(l->reason, sizeof l->reason, "something follows the end of the array");
    } else if (token->kind == FUSE_JSON_END) {
        snprintf(l->reason, sizeof l->reason, "the file ends inside a list");
    } else if (token->kind == FUSE_JSON_CLOSE) {
        l->count[l->depth]++;
        close_list(l);
    } else if (token->kind == FUSE_JSON_COMMA) {
        l->count[l->depth]++;
        if (l->extent[l->depth] > 0 && l->count[l->depth] == l->extent[l->depth])
            snprintf(l->reason, sizeof l->reason,
                     "another element of a list, where the lists before have %lld: rows must be equally long",
                     (long long)l->extent[l->depth]);
        *is_behind = false;
    } else {
        snprintf(l->reason, sizeof l->reason, "',' or ']' is missing");
    }
}

static enum fuse_status find_fault(struct lists *l, struct fuse_json_token *token, struct fuse_json_reader *reader,
                                   struct fuse_error *err) {
    bool is_behind = false; /* an element, not in front of one */
    for (;;) {
        FUSE_TRY(fuse_json_next(reader, token, err));
        bool is_end = token->kind == FUSE_JSON_END;
        (is_behind ? expect_end_of_element : expect_element)(l, token, &is_behind);
        if (l->reason[0] || is_end)
            return FUSE_OK;
    }
}

enum fuse_status fuse_json_explain(struct fuse_bytes *file, int64_t file_bytes, const char *path,
                                   struct fuse_error *err) {
    struct fuse_json_reader reader;
    FUSE_TRY(fuse_json_open(&reader, file, file_bytes, path, err));
    struct lists lists = {.leaves = -1};
    struct fuse_json_token token;
    int64_t line, column;
    enum fuse_status st;
    FUSE_TRY_GOTO(st, find_fault(&lists, &token, &reader, err), close_reader);
    if (lists.reason[0]) {
        FUSE_TRY_GOTO(st, fuse_json_place(&reader, token.offset, &line, &column, err), close_reader);
        st = fuse_fail(err, FUSE_EINPUT, "%s:%lld:%lld: %s", path, (long long)line, (long long)column, lists.reason);
    }
close_reader:
    fuse_json_close(&reader);
    return st;
}
