#include "plan/plan.h"

#include <string.h>

static int add_factors(struct fuse_mesh *mesh, int n) {
    /* Large primes first: the innermost dimensions are small, which keeps partial sums of one node short. */
    int factor[FUSE_MESH_MAX], count = 0;
    for (int p = 2; (int64_t)p * p <= n; p++)
        for (; n % p == 0; n /= p)
            factor[count++] = p;
    if (n > 1)
        factor[count++] = n;
    for (int i = count - 1; i >= 0; i--)
        mesh->dim[mesh->dims++] = factor[i];
    return count;
}

struct fuse_mesh fuse_mesh_make(int ranks, int used, int ranks_per_node) {
    struct fuse_mesh mesh = {.ranks = ranks, .used = used};
    if (ranks_per_node > 1 && used > ranks_per_node && used % ranks_per_node == 0) {
        add_factors(&mesh, used / ranks_per_node);
        add_factors(&mesh, ranks_per_node);
    } else {
        add_factors(&mesh, used);
    }
    return mesh;
}

struct fuse_mesh fuse_mesh_make_sized(int ranks, const int *size, int sizes) {
    struct fuse_mesh mesh = {.ranks = ranks, .used = 1};
    for (int i = 0; i < sizes; i++) {
        mesh.used *= size[i];
        add_factors(&mesh, size[i]);
    }
    return mesh;
}

int fuse_mesh_node_dim(const struct fuse_mesh *mesh, int ranks_per_node) {
    int d = mesh->dims, product = 1;
    if (ranks_per_node == 0 || mesh->ranks <= ranks_per_node)
        return 0;
    while (d > 0 && product < ranks_per_node)
        product *= mesh->dim[--d];
    return product == ranks_per_node ? d : mesh->dims;
}

/* The dimensions [*first, *end) of the mesh that size number `number` was split into. */
static void find_run(int *first, int *end, const struct fuse_mesh *mesh, const struct fuse_plan_request *request,
                     int number) {
    *first = *end = 0;
    for (int i = 0; i <= number; i++) {
        *first = *end;
        for (int product = 1; product < request->mesh_size[i]; (*end)++)
            product *= mesh->dim[*end];
    }
}

struct fuse_layout fuse_pin_layout(const struct fuse_mesh *mesh, const struct fuse_plan_request *request,
                                   const struct fuse_plan_pin *pin) {
    struct fuse_layout layout = fuse_layout_replicated();
    for (int d = 0; pin->all >= 0 && d < mesh->dims; d++)
        fuse_layout_split(&layout, mesh, d, pin->all);
    for (int i = 0; pin->all < 0 && i < pin->splits; i++) {
        int first, end;
        find_run(&first, &end, mesh, request, pin->split[i].dim);
        for (int d = first; d < end; d++)
            fuse_layout_split(&layout, mesh, d, pin->split[i].axis);
    }
    return layout;
}

void fuse_mesh_coordinates(int coordinate[FUSE_MESH_MAX], const struct fuse_mesh *mesh, int rank) {
    for (int d = mesh->dims - 1; d >= 0; d--) {
        coordinate[d] = rank % mesh->dim[d];
        rank /= mesh->dim[d];
    }
}

struct fuse_layout fuse_layout_replicated(void) {
    struct fuse_layout layout;
    memset(layout.axis, FUSE_REPLICATED, sizeof layout.axis);
    memset(layout.level, 0, sizeof layout.level);
    layout.zigzag = 0;
    return layout;
}

void fuse_layout_split(struct fuse_layout *layout, const struct fuse_mesh *mesh, int d, int axis) {
    int level = 0;
    for (int e = 0; e < mesh->dims; e++)
        level += e != d && layout->axis[e] == axis;
    layout->axis[d] = (int8_t)axis;
    layout->level[d] = (int8_t)level;
}

bool fuse_layout_equal(const struct fuse_layout *a, const struct fuse_layout *b) {
    return memcmp(a, b, sizeof *a) == 0;
}

int64_t fuse_layout_parts(const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axis) {
    int64_t parts = 1;
    for (int d = 0; d < mesh->dims; d++)
        if (layout->axis[d] == axis)
            parts *= mesh->dim[d];
    return parts;
}

int64_t fuse_layout_part(const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axis,
                         const int coordinate[FUSE_MESH_MAX]) {
    int at_level[FUSE_MESH_MAX], levels = 0;
    for (int d = 0; d < mesh->dims; d++)
        if (layout->axis[d] == axis) {
            at_level[layout->level[d]] = d;
            levels++;
        }
    int64_t part = 0;
    for (int l = 0; l < levels; l++)
        part = part * mesh->dim[at_level[l]] + coordinate[at_level[l]];
    return part;
}

int fuse_layout_halves(const struct fuse_layout *layout) {
    return layout->zigzag > 0 ? FUSE_LAYOUT_HALVES : 1;
}

int64_t fuse_layout_chunks(const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axis) {
    return fuse_layout_parts(layout, mesh, axis) * (layout->zigzag == axis + 1 ? FUSE_LAYOUT_HALVES : 1);
}

struct fuse_box fuse_layout_block(const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axes,
                                  const int64_t *extent, int rank, int half) {
    struct fuse_box box = {.rank = axes};
    if (rank >= mesh->used) {
        /* A box of rank 0 is never empty; the caller asks ranks < used only for it. */
        for (int a = 0; a < axes; a++)
            box.lo[a] = box.hi[a] = 0;
        return box;
    }
    int coordinate[FUSE_MESH_MAX];
    fuse_mesh_coordinates(coordinate, mesh, rank);
    for (int a = 0; a < axes; a++) {
        int64_t chunks = fuse_layout_chunks(layout, mesh, a);
        int64_t chunk = chunks == 1 ? 0 : fuse_layout_part(layout, mesh, a, coordinate);
        if (layout->zigzag == a + 1 && half == 1)
            chunk = chunks - 1 - chunk;
        box.lo[a] = fuse_split_begin(extent[a], chunks, chunk);
        box.hi[a] = fuse_split_begin(extent[a], chunks, chunk + 1);
    }
    return box;
}

void fuse_layout_print(struct fuse_text *text, const struct fuse_layout *layout, const struct fuse_mesh *mesh, int axes,
                       const char *const *names) {
    fuse_text_add(text, "[");
    for (int a = 0; a < axes; a++) {
        if (names && names[a])
            fuse_text_add(text, "%s%s", a ? "," : "", names[a]);
        else
            fuse_text_add(text, "%s%d", a ? "," : "", a);
        int64_t parts = fuse_layout_parts(layout, mesh, a);
        if (parts > 1)
            fuse_text_add(text, "/%lld%s", (long long)parts, layout->zigzag == a + 1 ? " zigzag" : "");
    }
    fuse_text_add(text, "]");
    int64_t copies = fuse_layout_parts(layout, mesh, FUSE_REPLICATED);
    int64_t partial = fuse_layout_parts(layout, mesh, FUSE_PARTIAL);
    if (copies > 1)
        fuse_text_add(text, " x%lld", (long long)copies);
    if (partial > 1)
        fuse_text_add(text, " partial/%lld", (long long)partial);
}
