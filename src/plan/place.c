/* Offsets of buffers: greedy interval placement, by size and by time, whichever needs less. Buffers whose lifetimes do not
 * meet may share bytes; the high-water of a kind is exact because nothing else is ever placed in its arena. */
#include "plan/build.h"

#include <stdlib.h>

#define ALIGN_BYTES 64

struct slot {
    int buffer;
    int64_t bytes; /* rounded up */
    int first, last;
    int64_t offset;
};

static int by_size(const void *a, const void *b) {
    const struct slot *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes > y->bytes ? -1 : 1;
    return x->buffer - y->buffer;
}

static int by_time(const void *a, const void *b) {
    const struct slot *x = a, *y = b;
    if (x->first != y->first)
        return x->first - y->first;
    return by_size(a, b);
}

/* Slots that have their place, in the order of their offsets. */
struct placed {
    struct slot **at;
    int n;
};

/* The lowest gap between those placed that are alive with a slot. */
static int64_t find_gap(const struct placed *placed, const struct slot *slot) {
    int64_t at = 0;
    for (int j = 0; j < placed->n && at + slot->bytes > placed->at[j]->offset; j++) {
        const struct slot *other = placed->at[j];
        if (other->first <= slot->last && slot->first <= other->last && other->offset + other->bytes > at)
            at = other->offset + other->bytes;
    }
    return at;
}

static void add_slot(struct placed *placed, struct slot *slot) {
    int to = placed->n++;
    for (; to > 0 && placed->at[to - 1]->offset > slot->offset; to--)
        placed->at[to] = placed->at[to - 1];
    placed->at[to] = slot;
}

static void place(struct placed *placed, struct slot *slot) {
    slot->offset = find_gap(placed, slot);
    if (slot->bytes > 0)
        add_slot(placed, slot);
}

/* Most slots live shortly, and need only look at those that live in the same stretch of time. */
#define STRETCHES 64

static int stretch_of(int position, int positions) {
    return (int)((int64_t)position * STRETCHES / positions);
}

static struct placed *make_stretches(struct fuse_arena *arena, const struct slot *slot, int n, int positions) {
    struct placed *stretch = FUSE_NEW_ARRAY(arena, struct placed, STRETCHES);
    int slots[STRETCHES] = {0};
    for (int i = 0; i < n; i++)
        for (int t = stretch_of(slot[i].first, positions); t <= stretch_of(slot[i].last, positions); t++)
            slots[t]++;
    for (int t = 0; t < STRETCHES; t++)
        stretch[t].at = FUSE_NEW_ARRAY(arena, struct slot *, slots[t] + 1);
    return stretch;
}

static int64_t place_by_size(struct fuse_arena *arena, struct slot *slot, int n, struct placed *placed) {
    int64_t peak = 0;
    int positions = 1;
    for (int i = 0; i < n; i++)
        positions = slot[i].last >= positions ? slot[i].last + 1 : positions;
    struct placed *stretch = make_stretches(arena, slot, n, positions);
    placed->n = 0;
    qsort(slot, (size_t)n, sizeof *slot, by_size);
    for (int i = 0; i < n; i++) {
        const int from = stretch_of(slot[i].first, positions), to = stretch_of(slot[i].last, positions);
        slot[i].offset = find_gap(from == to ? &stretch[from] : placed, &slot[i]);
        peak = slot[i].offset + slot[i].bytes > peak ? slot[i].offset + slot[i].bytes : peak;
        for (int t = from; t <= to && slot[i].bytes > 0; t++)
            add_slot(&stretch[t], &slot[i]);
        if (slot[i].bytes > 0)
            add_slot(placed, &slot[i]);
    }
    return peak;
}

/* Forgets slots as soon as nothing that comes meets them. *alive: the most bytes in use at once, which no placement
 * undercuts. */
static int64_t place_by_time(struct slot *slot, int n, struct placed *placed, int64_t *alive) {
    int64_t peak = 0;
    placed->n = 0;
    *alive = 0;
    qsort(slot, (size_t)n, sizeof *slot, by_time);
    for (int i = 0; i < n; i++) {
        int64_t bytes = slot[i].bytes;
        int left = 0;
        for (int j = 0; j < placed->n; j++)
            if (placed->at[j]->last >= slot[i].first) {
                bytes += placed->at[j]->bytes;
                placed->at[left++] = placed->at[j];
            }
        placed->n = left;
        *alive = bytes > *alive ? bytes : *alive;
        place(placed, &slot[i]);
        peak = slot[i].offset + slot[i].bytes > peak ? slot[i].offset + slot[i].bytes : peak;
    }
    return peak;
}

void fuse_plan_place_buffers(struct fuse_plan *plan) {
    int n = plan->buffers.n;
    struct slot *slot = FUSE_NEW_ARRAY(plan->arena, struct slot, n + 1);
    struct placed placed = {.at = FUSE_NEW_ARRAY(plan->arena, struct slot *, n + 1)};
    plan->peak_bytes = 0;
    for (int kind = 0; kind < FUSE_MEM_KINDS; kind++) {
        int count = 0;
        for (int i = 0; i < n; i++) {
            const struct fuse_buffer *buffer = &plan->buffers.at[i];
            if ((int)buffer->kind != kind)
                continue;
            int64_t bytes = fuse_sat_add(buffer->bytes, ALIGN_BYTES - 1);
            bytes -= bytes % ALIGN_BYTES;
            if (bytes > INT64_MAX / 4096)
                bytes = INT64_MAX / 4096; /* a size that is refused anyway; keeps the sums below from overflowing */
            slot[count++] = (struct slot){.buffer = i, .bytes = bytes, .first = buffer->first, .last = buffer->last};
        }
        int64_t alive, peak = place_by_time(slot, count, &placed, &alive);
        for (int i = 0; i < count; i++)
            plan->buffers.at[slot[i].buffer].offset = slot[i].offset;
        int64_t other = peak > alive ? place_by_size(plan->arena, slot, count, &placed) : peak;
        if (other < peak) {
            peak = other;
            for (int i = 0; i < count; i++)
                plan->buffers.at[slot[i].buffer].offset = slot[i].offset;
        }
        plan->arena_bytes[kind] = peak;
        plan->peak_bytes = fuse_sat_add(plan->peak_bytes, peak);
    }
}
