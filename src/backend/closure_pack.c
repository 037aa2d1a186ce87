#include "backend/closure_internal.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define ARRAYS 9

/* The arrays of a closure, in the order in which they are packed behind the structure. */
struct array {
    size_t pointer; /* where in the structure */
    size_t bytes;
};

static void list_arrays(struct array array[ARRAYS], const struct fuse_closure *c, uint64_t edges, uint64_t seeds) {
    const size_t components = c->components, classes = c->classes;
    const struct array all[ARRAYS] = {
        {offsetof(struct fuse_closure, component), (size_t)c->columns * sizeof *c->component},
        {offsetof(struct fuse_closure, member_first), (components + 1) * sizeof *c->member_first},
        {offsetof(struct fuse_closure, member), (size_t)c->columns * sizeof *c->member},
        {offsetof(struct fuse_closure, next_first), (components + 1) * sizeof *c->next_first},
        {offsetof(struct fuse_closure, next), (size_t)edges * sizeof *c->next},
        {offsetof(struct fuse_closure, class_of), (size_t)c->rows * sizeof *c->class_of},
        {offsetof(struct fuse_closure, class_size), classes * sizeof *c->class_size},
        {offsetof(struct fuse_closure, seed_first), (classes + 1) * sizeof *c->seed_first},
        {offsetof(struct fuse_closure, seed), (size_t)seeds * sizeof *c->seed},
    };
    memcpy(array, all, sizeof all);
}

static size_t round_up(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

struct head {
    struct fuse_closure closure; /* its pointers mean nothing */
    uint64_t edges, seeds;
};

static struct head head_of(const struct fuse_closure *c) {
    return (struct head){*c, c->next_first[c->components], c->seed_first[c->classes]};
}

size_t fuse_closure_packed_bytes(const struct fuse_closure *c) {
    struct head head = head_of(c);
    struct array array[ARRAYS];
    size_t bytes = round_up(sizeof head);
    list_arrays(array, &head.closure, head.edges, head.seeds);
    for (int k = 0; k < ARRAYS; k++)
        bytes += round_up(array[k].bytes);
    return bytes;
}

void fuse_closure_pack(void *to, const struct fuse_closure *c) {
    struct head head = head_of(c);
    struct array array[ARRAYS];
    char *at = to;
    memcpy(at, &head, sizeof head);
    at += round_up(sizeof head);
    list_arrays(array, &head.closure, head.edges, head.seeds);
    for (int k = 0; k < ARRAYS; k++) {
        void *from;
        memcpy(&from, (const char *)c + array[k].pointer, sizeof from);
        if (array[k].bytes > 0)
            memcpy(at, from, array[k].bytes);
        at += round_up(array[k].bytes);
    }
}

enum fuse_status fuse_closure_open_packed(struct fuse_closure **out, const void *from, struct fuse_error *err) {
    const struct head *head = from;
    struct array array[ARRAYS];
    char *at = (char *)from + round_up(sizeof *head);
    struct fuse_closure *c = malloc(sizeof *c);
    if (c == NULL)
        return fuse_fail(err, FUSE_EMEMORY, "no memory for a closure");
    *c = head->closure;
    c->is_borrowed = true;
    list_arrays(array, c, head->edges, head->seeds);
    for (int k = 0; k < ARRAYS; k++) {
        memcpy((char *)c + array[k].pointer, &at, sizeof at);
        at += round_up(array[k].bytes);
    }
    *out = c;
    return FUSE_OK;
}
