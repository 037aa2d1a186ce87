#include "tests/unit/random_stream.h"

#include "tests/unit/ir_interpret.h"

#include <string.h>

#define MAX_VALUES 12

static const char letters[] = "abcd";

struct made {
    int value;
    char axes[5];
};

struct writing {
    struct fuse_ir *ir;
    struct random_state *state;
    int64_t extent[4];
    struct made made[MAX_VALUES];
    int n, sinks;
};

static int below(struct writing *w, int n) {
    return (int)random_below(w->state, n);
}

static void extents_of(const struct writing *w, const char *axes, int64_t *extent) {
    for (int i = 0; axes[i]; i++)
        extent[i] = w->extent[axes[i] - 'a'];
}

/* One to three different letters. */
static void random_axes(struct writing *w, char axes[5]) {
    int n = 0, start = below(w, 4), step = below(w, 2) ? 1 : 3, want = 1 + below(w, 3);
    for (; n < want; n++)
        axes[n] = letters[(start + n * step) % 4];
    axes[n] = 0;
}

static void add_source(struct writing *w) {
    struct made *made = &w->made[w->n++];
    int64_t extent[4];
    random_axes(w, made->axes);
    extents_of(w, made->axes, extent);
    const char *name = fuse_arena_printf(w->ir->arena, "s%d.npy", w->ir->values.n);
    made->value = build_source(w->ir, name, FUSE_F32, (int)strlen(made->axes), extent);
    w->ir->ops.at[w->ir->values.at[made->value].op]->probe.reversed = strlen(made->axes) > 1 && below(w, 2);
}

static void add_sink(struct writing *w, int value) {
    build_sink(w->ir, fuse_arena_printf(w->ir->arena, "y%d.npy", w->sinks++), value);
}

static const struct fuse_scalar *sum_of(struct writing *w, int inputs) {
    struct build_body body = {.arena = w->ir->arena};
    int sum = body_load(&body, 0, FUSE_F32);
    for (int k = 1; k < inputs; k++)
        sum = body_op(&body, FUSE_SCALAR_ADD, FUSE_F32, sum, body_load(&body, k, FUSE_F32), -1);
    return body_end(&body);
}

/* A map, or a product of two, over all axes of its operands; perhaps without one of them in the result. */
static void add_operation(struct writing *w) {
    bool product = below(w, 2);
    int inputs = product ? 2 : 1 + below(w, 2), all = 0, kept = 0, gone = below(w, 6);
    char axes[9] = "";
    struct build_use use[2];
    struct made *made = &w->made[w->n];
    int64_t extent[4];
    for (int k = 0; k < inputs; k++) {
        const struct made *from = &w->made[below(w, w->n)];
        use[k] = (struct build_use){from->value, from->axes};
        for (int i = 0; from->axes[i]; i++)
            if (!strchr(axes, from->axes[i])) {
                axes[all++] = from->axes[i];
                axes[all] = 0;
            }
    }
    for (int i = 0; i < all; i++)
        if (i != gone)
            made->axes[kept++] = axes[i];
    made->axes[kept] = 0;
    extents_of(w, axes, extent);
    const char *indices = fuse_arena_printf(w->ir->arena, "%s", axes);
    if (product)
        made->value = build_product(w->ir, FUSE_F32, made->axes, indices, extent, 2, use);
    else
        made->value = build_map(w->ir, FUSE_F32, made->axes, indices, extent, inputs, use,
                                kept == all       ? FUSE_REDUCE_NONE
                                : below(w, 2) > 0 ? FUSE_REDUCE_MAX
                                                  : FUSE_REDUCE_SUM,
                                sum_of(w, inputs));
    w->n++;
}

void random_stream_program(struct fuse_ir *ir, struct random_state *state) {
    static const int64_t sizes[] = {2, 3, 5, 7, 8, 13, 16};
    struct writing w = {.ir = ir, .state = state};
    for (int i = 0; i < 4; i++)
        w.extent[i] = sizes[random_below(state, sizeof sizes / sizeof *sizes)];
    int sources = 1 + below(&w, 3), operations = 1 + below(&w, 4);
    for (int i = 0; i < sources; i++)
        add_source(&w);
    for (int i = 0; i < operations; i++) {
        add_operation(&w);
        if (i + 1 == operations || below(&w, 3) == 0)
            add_sink(&w, w.made[w.n - 1].value);
    }
    if (below(&w, 5) == 0)
        add_sink(&w, w.made[0].value);
}
