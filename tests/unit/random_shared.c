#include "tests/unit/random_shared.h"

#include "tests/unit/ir_interpret.h"

enum { MADE = 3 };

/* What a program is built from: vectors over four axes, a matrix over the second and third, and tensors made of vectors. */
struct shared {
    struct fuse_ir *ir;
    struct random_state *state;
    int64_t extent[4];
    int vector[4], matrix;
    int made[MADE], mades;
    bool turned[MADE]; /* "ji" */
};

static const char *const letters[] = {"i", "j", "k", "l"};

static int64_t random_extent(struct random_state *state) {
    static const int64_t sizes[] = {1, 2, 3, 5, 8, 13, 16, 31, 40};
    return sizes[random_below(state, sizeof sizes / sizeof *sizes)];
}

static void add_sources(struct shared *p) {
    for (int a = 0; a < 4; a++)
        p->extent[a] = random_extent(p->state);
    for (int a = 0; a < 4; a++)
        p->vector[a] =
            build_source(p->ir, fuse_arena_printf(p->ir->arena, "%s.npy", letters[a]), FUSE_F32, 1, &p->extent[a]);
    p->matrix = build_source(p->ir, "f.npy", FUSE_F32, 2, (int64_t[]){p->extent[1], p->extent[2]});
}

/* 2 and the inputs. */
static int add_sum(struct build_body *body, int inputs) {
    int sum = body_real(body, FUSE_F32, 2);
    for (int k = 0; k < inputs; k++)
        sum = body_op(body, FUSE_SCALAR_ADD, FUSE_F32, sum, body_load(body, k, FUSE_F32), -1);
    return sum;
}

static const struct fuse_scalar *sum_of(struct fuse_arena *arena, int inputs) {
    struct build_body body = {.arena = arena};
    (void)add_sum(&body, inputs);
    return body_end(&body);
}

/* The sum as it is, where a mask leaves it, times a ramp, or with a random number for each place: whole, so that sums are exact. */
static const struct fuse_scalar *random_formula(struct shared *p, int inputs) {
    struct build_body body = {.arena = p->ir->arena};
    int sum = add_sum(&body, inputs), kind = (int)random_below(p->state, 4);
    if (kind == 0)
        return body_end(&body);
    int row = body_iota(&body, 0), column = body_iota(&body, 1);
    if (kind == 1) {
        int shift = body_int(&body, FUSE_I64, random_below(p->state, 7) - 3);
        int mask = body_op(&body, FUSE_SCALAR_LE, FUSE_BOOL, row,
                           body_op(&body, FUSE_SCALAR_ADD, FUSE_I64, column, shift, -1), -1);
        body_op(&body, FUSE_SCALAR_SELECT, FUSE_F32, mask, sum, body_real(&body, FUSE_F32, 0));
    } else if (kind == 2) {
        int ramp = body_op(&body, FUSE_SCALAR_CAST, FUSE_F32, column, -1, -1);
        body_op(&body, FUSE_SCALAR_MUL, FUSE_F32, sum,
                body_op(&body, FUSE_SCALAR_MUL, FUSE_F32, ramp, body_real(&body, FUSE_F32, 0.0625), -1), -1);
    } else {
        int place = body_op(&body, FUSE_SCALAR_MUL, FUSE_I64, row, body_int(&body, FUSE_I64, p->extent[1]), -1);
        int drawn = body_op(&body, FUSE_SCALAR_UNIFORM, FUSE_F32,
                            body_op(&body, FUSE_SCALAR_ADD, FUSE_I64, place, column, -1), -1, -1);
        drawn = body_op(&body, FUSE_SCALAR_MUL, FUSE_F32, drawn, body_real(&body, FUSE_F32, 16), -1);
        body_op(&body, FUSE_SCALAR_ADD, FUSE_F32, sum, body_op(&body, FUSE_SCALAR_FLOOR, FUSE_F32, drawn, -1, -1), -1);
    }
    return body_end(&body);
}

/* Of vectors, and perhaps of the first of its kind: over i and j, either way round, or over k too. */
static void make_shared(struct shared *p, int vectors, const int *vector) {
    struct build_use use[4];
    int uses = 0;
    for (int a = 0; a < vectors; a++)
        if (random_below(p->state, 2))
            use[uses++] = (struct build_use){vector[a], letters[a]};
    bool wide = random_below(p->state, 2);
    if (p->mades > 0 && wide && random_below(p->state, 2) && p->ir->values.at[p->made[0]].rank == 2)
        use[uses++] = (struct build_use){p->made[0], p->turned[0] ? "ji" : "ij"};
    bool turned = !wide && random_below(p->state, 2);
    p->turned[p->mades] = turned;
    p->made[p->mades++] =
        build_map(p->ir, FUSE_F32,
                  wide     ? "ijk"
                  : turned ? "ji"
                           : "ij",
                  wide ? "ijk" : "ij", p->extent, uses, use, FUSE_REDUCE_NONE, random_formula(p, uses));
}

/* One of them, and how it is read. */
static struct build_use random_use(struct shared *p) {
    int m = (int)random_below(p->state, p->mades);
    bool wide = p->ir->values.at[p->made[m]].rank == 3;
    return (struct build_use){p->made[m], wide ? "ijk" : p->turned[m] ? "ji" : "ij"};
}

static bool is_wide(struct build_use use) {
    return use.at[2] == 'k';
}

/* Two operations around what is as large as three axes make it, or four. */
static int add_chain(struct shared *p) {
    const struct fuse_scalar *sum = sum_of(p->ir->arena, 2);
    const int64_t narrow[] = {p->extent[0], p->extent[1], p->extent[3]};
    int last = p->vector[3];
    for (int o = 0; o < 2; o++) {
        struct build_use use = random_use(p);
        bool wide = is_wide(use);
        last = build_map(p->ir, FUSE_F32, o == 0 ? "ijl" : "ij", wide ? "ijkl" : "ijl", wide ? p->extent : narrow, 2,
                         (struct build_use[]){{last, o == 0 ? "l" : "ijl"}, use},
                         o == 1 || wide ? FUSE_REDUCE_SUM : FUSE_REDUCE_NONE, sum);
    }
    return last;
}

static int add_reader(struct shared *p) {
    const struct build_use use = random_use(p);
    const bool wide = is_wide(use);
    struct fuse_arena *arena = p->ir->arena;
    switch (random_below(p->state, 6)) {
    case 0:
        return build_product(p->ir, FUSE_F32, wide ? "ij" : "ik", "ijkl", p->extent, 2,
                             (struct build_use[]){use, {p->matrix, "jk"}});
    case 1:
        return build_product(p->ir, FUSE_F32, "lj", "ijkl", p->extent, 2,
                             (struct build_use[]){use, {p->vector[3], "l"}});
    case 2:
        return build_map(p->ir, FUSE_F32, wide ? "kij" : "ij", wide ? "ijk" : "ij", p->extent, 2,
                         (struct build_use[]){use, {p->vector[1], "j"}}, FUSE_REDUCE_NONE, sum_of(arena, 2));
    case 3: return add_chain(p);
    default:
        return build_map(p->ir, FUSE_F32, "j", wide ? "ijk" : "ij", p->extent, 1, &use, FUSE_REDUCE_SUM,
                         sum_of(arena, 1));
    }
}

void random_shared_program(struct fuse_ir *ir, struct random_state *state) {
    struct shared p = {.ir = ir, .state = state};
    add_sources(&p);
    for (int n = 1 + (int)random_below(state, MADE); p.mades < n;)
        make_shared(&p, 2, p.vector);
    for (int o = 0, n = 2 + (int)random_below(state, 4); o < n; o++)
        build_sink(ir, fuse_arena_printf(ir->arena, "y%d.npy", o), add_reader(&p));
    if (random_below(state, 4) == 0)
        build_sink(ir, "m.npy", p.made[0]);
}

/* x = m x + n x + .., where m comes from before the recursion and n is made of x in every turn; each is read along rows and along
 * columns. */
void random_shared_recursion(struct fuse_ir *ir, struct random_state *state) {
    struct shared p = {.ir = ir, .state = state};
    add_sources(&p);
    p.extent[1] = p.extent[0]; /* x walks both axes */
    p.vector[1] = p.vector[0];
    const int64_t *square = p.extent;
    int m = build_map(ir, FUSE_F32, "ij", "ij", square, 2, (struct build_use[]){{p.vector[0], "i"}, {p.vector[1], "j"}},
                      FUSE_REDUCE_NONE, random_formula(&p, 2));
    int x = build_carry(ir, FUSE_F32, 1, square);
    int n = build_map(ir, FUSE_F32, "ij", "ij", square, 2, (struct build_use[]){{x, "i"}, {p.vector[1], "j"}},
                      FUSE_REDUCE_NONE, random_formula(&p, 2));
    struct build_use use[4];
    int uses = 0;
    for (int k = 0; k < 4; k++)
        if (random_below(state, 2) || (k == 3 && uses == 0)) {
            const int read = k < 2 ? m : n;
            use[uses++] = (struct build_use){
                build_product(ir, FUSE_F32, "i", "ij", square, 2,
                              (struct build_use[]){{read, k % 2 ? "ji" : "ij"}, {k < 2 ? x : p.vector[0], "j"}}),
                "i"};
        }
    int next = build_map(ir, FUSE_F32, "i", "i", square, uses, use, FUSE_REDUCE_NONE, sum_of(ir->arena, uses));
    x = build_fixpoint(ir, x, next, build_moves(ir, x, next, "i"));
    build_sink(ir, "x.npy", x);
    build_sink(ir, "z.npy",
               build_product(ir, FUSE_F32, "i", "ij", square, 2, (struct build_use[]){{m, "ji"}, {x, "j"}}));
}

int64_t random_slab_bytes(const struct fuse_ir *ir, int ranks, struct random_state *state) {
    int64_t largest = 0;
    for (int v = 0; v < ir->values.n; v++)
        if (!fuse_is_relation(ir, v) && fuse_value_bytes(&ir->values.at[v]) > largest)
            largest = fuse_value_bytes(&ir->values.at[v]);
    return 1 + largest / ranks / (1 << random_below(state, 4));
}
