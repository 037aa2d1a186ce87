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

static int by_offset(const void *a, const void *b) {
    const struct slot *x = *(struct slot *const *)a, *y = *(struct slot *const *)b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return x->buffer - y->buffer;
}

/* Each slot goes to the lowest gap between those already placed that are alive with it. */
static int64_t place_in_order(struct slot *slot, int n, struct slot **meeting) {
    int64_t peak = 0;
    for (int i = 0; i < n; i++) {
        int meetings = 0;
        for (int j = 0; j < i; j++)
            if (slot[j].first <= slot[i].last && slot[i].first <= slot[j].last && slot[j].bytes > 0)
                meeting[meetings++] = &slot[j];
        qsort(meeting, (size_t)meetings, sizeof *meeting, by_offset);
        int64_t at = 0;
        for (int j = 0; j < meetings && at + slot[i].bytes > meeting[j]->offset; j++)
            if (meeting[j]->offset + meeting[j]->bytes > at)
                at = meeting[j]->offset + meeting[j]->bytes;
        slot[i].offset = at;
        peak = at + slot[i].bytes > peak ? at + slot[i].bytes : peak;
    }
    return peak;
}

void fuse_plan_place_buffers(struct fuse_plan *plan) {
    int n = plan->buffers.n;
    struct slot *slot = FUSE_NEW_ARRAY(plan->arena, struct slot, n + 1);
    struct slot **meeting = FUSE_NEW_ARRAY(plan->arena, struct slot *, n + 1);
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
        qsort(slot, (size_t)count, sizeof *slot, by_time);
        int64_t peak = place_in_order(slot, count, meeting), other;
        for (int i = 0; i < count; i++)
            plan->buffers.at[slot[i].buffer].offset = slot[i].offset;
        qsort(slot, (size_t)count, sizeof *slot, by_size);
        other = place_in_order(slot, count, meeting);
        if (other < peak) {
            peak = other;
            for (int i = 0; i < count; i++)
                plan->buffers.at[slot[i].buffer].offset = slot[i].offset;
        }
        plan->arena_bytes[kind] = peak;
        plan->peak_bytes = fuse_sat_add(plan->peak_bytes, peak);
    }
}
