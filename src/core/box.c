#include "core/box.h"

/* hi - lo where lo < hi. */
static int64_t axis_extent(const struct fuse_box *box, int axis) {
    int64_t extent;
    return __builtin_sub_overflow(box->hi[axis], box->lo[axis], &extent) ? INT64_MAX : extent;
}

struct fuse_box fuse_box_full(int rank, const int64_t *extent) {
    struct fuse_box box = {.rank = rank};
    for (int a = 0; a < rank; a++)
        box.hi[a] = extent[a];
    return box;
}

bool fuse_box_is_empty(const struct fuse_box *box) {
    for (int a = 0; a < box->rank; a++)
        if (box->hi[a] <= box->lo[a])
            return true;
    return false;
}

int64_t fuse_box_elems(const struct fuse_box *box) {
    if (fuse_box_is_empty(box))
        return 0;
    int64_t elems = 1;
    for (int a = 0; a < box->rank; a++)
        elems = fuse_sat_mul(elems, axis_extent(box, a));
    return elems;
}

bool fuse_box_equal(const struct fuse_box *a, const struct fuse_box *b) {
    if (a->rank != b->rank)
        return false;
    for (int x = 0; x < a->rank; x++)
        if (a->lo[x] != b->lo[x] || a->hi[x] != b->hi[x])
            return false;
    return true;
}

bool fuse_box_contains(const struct fuse_box *outer, const struct fuse_box *inner) {
    if (fuse_box_is_empty(inner))
        return true;
    if (outer->rank != inner->rank)
        return false;
    for (int a = 0; a < inner->rank; a++)
        if (inner->lo[a] < outer->lo[a] || inner->hi[a] > outer->hi[a])
            return false;
    return true;
}

bool fuse_box_intersect(struct fuse_box *out, const struct fuse_box *a, const struct fuse_box *b) {
    int rank = a->rank;
    bool empty = false;
    for (int x = 0; x < rank; x++) {
        int64_t lo = a->lo[x] > b->lo[x] ? a->lo[x] : b->lo[x];
        int64_t hi = a->hi[x] < b->hi[x] ? a->hi[x] : b->hi[x];
        if (hi <= lo) {
            hi = lo;
            empty = true;
        }
        out->lo[x] = lo;
        out->hi[x] = hi;
    }
    out->rank = rank;
    return !empty;
}

int64_t fuse_split_begin(int64_t n, int64_t parts, int64_t k) {
    int64_t product;
    if (!__builtin_mul_overflow(n, k, &product))
        return product / parts;
    return (int64_t)((unsigned __int128)n * (unsigned __int128)k / (unsigned __int128)parts);
}

int fuse_box_of_range(struct fuse_box out[FUSE_MAX_RANGE_BOXES], int rank, const int64_t *extent, bool reversed,
                      int64_t begin, int64_t end) {
    /* Axes from the slowest to the fastest, and the elements that one step along each spans. */
    int axis[FUSE_MAX_AXES];
    int64_t span[FUSE_MAX_AXES], total = 1;
    for (int d = rank - 1; d >= 0; d--) {
        axis[d] = reversed ? rank - 1 - d : d;
        span[d] = total;
        total = fuse_sat_mul(total, extent[axis[d]]);
    }
    if (begin < 0)
        begin = 0;
    if (end > total)
        end = total;
    if (begin >= end)
        return 0;
    if (rank == 0) {
        out[0] = fuse_box_full(0, NULL);
        return 1;
    }
    /* At each position the slowest axis along which at least one whole step starts here and fits. The axes go outwards
     * to some axis and then inwards again, hence at most 2 * rank - 1 boxes. */
    int boxes = 0;
    for (int64_t at = begin; at < end;) {
        int d = 0;
        while (at % span[d] != 0 || span[d] > end - at)
            d++;
        struct fuse_box *box = &out[boxes++];
        *box = fuse_box_full(rank, extent);
        int64_t rest = at;
        for (int e = 0; e <= d; e++) {
            box->lo[axis[e]] = rest / span[e];
            box->hi[axis[e]] = box->lo[axis[e]] + 1;
            rest %= span[e];
        }
        int64_t steps = (end - at) / span[d], left = extent[axis[d]] - box->lo[axis[d]];
        if (steps > left)
            steps = left;
        box->hi[axis[d]] = box->lo[axis[d]] + steps;
        at += steps * span[d];
    }
    return boxes;
}

struct fuse_access fuse_access_identity(int rank) {
    struct fuse_access access = {.rank = rank};
    for (int a = 0; a < rank; a++)
        access.at[a] = (struct fuse_access_axis){.index = a, .stride = 1, .offset = 0};
    return access;
}

/* stride * i + offset, at the nearest bound when it does not fit. */
static int64_t map_index(const struct fuse_access_axis *axis, int64_t i) {
    __int128 exact = (__int128)axis->stride * i + axis->offset;
    return exact > INT64_MAX ? INT64_MAX : exact < INT64_MIN ? INT64_MIN : (int64_t)exact;
}

void fuse_access_range(int64_t *lo, int64_t *hi, const struct fuse_access_axis *axis, int64_t first, int64_t last) {
    if (axis->index < 0) {
        first = last = axis->offset;
    } else if (axis->divide > 0) {
        first /= axis->divide;
        last /= axis->divide;
    } else if (axis->modulo > 0) {
        bool one_row = first / axis->modulo == last / axis->modulo;
        first = one_row ? first % axis->modulo : 0;
        last = one_row ? last % axis->modulo : axis->modulo - 1;
    } else {
        first = map_index(axis, first);
        last = map_index(axis, last);
    }
    *lo = first < last ? first : last;
    int64_t high = first < last ? last : first;
    *hi = high == INT64_MAX ? INT64_MAX : high + 1;
}

int64_t fuse_access_longest(const struct fuse_access_axis *axis, int64_t n) {
    int64_t lo, hi;
    if (axis->index >= 0 && axis->divide > 0)
        return (n - 1) / axis->divide + ((n - 1) % axis->divide > 0) + 1; /* from the end of a row on */
    if (axis->index >= 0 && axis->modulo > 0)
        return n == 1 ? 1 : axis->modulo;
    fuse_access_range(&lo, &hi, axis, 0, n - 1);
    return hi - lo;
}

struct fuse_box fuse_access_box(const struct fuse_access *access, const struct fuse_box *iteration) {
    struct fuse_box box = {.rank = access->rank};
    if (fuse_box_is_empty(iteration))
        return box;
    for (int a = 0; a < access->rank; a++) {
        int index = access->at[a].index;
        fuse_access_range(&box.lo[a], &box.hi[a], &access->at[a], index < 0 ? 0 : iteration->lo[index],
                          index < 0 ? 0 : iteration->hi[index] - 1);
    }
    return box;
}

void fuse_box_strides(int64_t stride[FUSE_MAX_AXES], const struct fuse_box *box, bool reversed) {
    int64_t step = 1;
    for (int d = box->rank - 1; d >= 0; d--) {
        int a = reversed ? box->rank - 1 - d : d;
        stride[a] = step;
        if (box->hi[a] > box->lo[a])
            step = fuse_sat_mul(step, axis_extent(box, a));
    }
}

struct fuse_view fuse_box_view(void *data, enum fuse_dtype dtype, const struct fuse_box *block, bool reversed,
                               const struct fuse_box *part) {
    struct fuse_view view = {.data = data, .dtype = dtype, .rank = part->rank};
    fuse_box_strides(view.stride, block, reversed);
    bool empty = fuse_box_is_empty(part);
    int64_t offset = 0;
    for (int a = 0; a < part->rank; a++) {
        view.extent[a] = part->hi[a] > part->lo[a] ? axis_extent(part, a) : 0;
        if (!empty)
            offset += (part->lo[a] - block->lo[a]) * view.stride[a];
    }
    if (data)
        view.data = (char *)data + offset * (int64_t)fuse_dtype_bytes(dtype);
    return view;
}
