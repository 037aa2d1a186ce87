#include "core/hash.h"
#include "plan/build.h"

static uint64_t hash_layout(uint64_t h, const struct fuse_layout *layout, int dims) {
    for (int d = 0; d < dims;) { /* four dimensions a word */
        uint64_t word = 0;
        for (int end = d + 4 < dims ? d + 4 : dims; d < end; d++)
            word = word << 16 | (uint64_t)(uint8_t)layout->axis[d] << 8 | (uint8_t)layout->level[d];
        h = fuse_hash_int(h, (int64_t)word);
    }
    return layout->zigzag > 0 ? fuse_hash_int(h, layout->zigzag) : h;
}

static uint64_t hash_holding(uint64_t h, const struct fuse_holding *x, int dims) {
    h = fuse_hash_int(fuse_hash_int(h, x->kind), x->value);
    h = hash_layout(h, &x->layout, dims);
    h = fuse_hash_int(fuse_hash_int(h, x->op), x->input);
    h = fuse_hash_int(fuse_hash_int(h, x->aggregators), x->align_elems);
    h = fuse_hash_int(fuse_hash_int(fuse_hash_int(h, x->reversed), x->loop), x->cut);
    h = x->dealt > 0 ? fuse_hash_int(h, x->dealt) : h;
    return x->dealt_from > 0 ? fuse_hash_int(h, x->dealt_from) : h;
}

uint64_t fuse_plan_hash(const struct fuse_plan *plan) {
    uint64_t h = FUSE_HASH_SEED;
    int dims = plan->mesh.dims;
    h = fuse_hash_int(fuse_hash_int(h, plan->mesh.ranks), plan->mesh.used);
    h = plan->request.chunk > 0 ? fuse_hash_int(h, plan->request.chunk) : h;
    h = plan->request.keeps_stages ? fuse_hash_int(h, 1) : h;
    for (int d = 0; d < dims; d++)
        h = fuse_hash_int(h, plan->mesh.dim[d]);
    for (int i = 0; i < plan->steps.n; i++) {
        const struct fuse_step *s = &plan->steps.at[i];
        h = fuse_hash_int(fuse_hash_int(fuse_hash_int(h, s->kind), s->phase), s->op);
        h = fuse_hash_int(fuse_hash_int(h, s->from), s->to);
        h = hash_holding(hash_holding(h, &s->have, dims), &s->need, dims);
        h = fuse_hash_int(fuse_hash_int(fuse_hash_int(h, s->dim), s->loop), s->cut);
        h = s->kind == FUSE_STEP_FEED ? fuse_hash_int(h, s->input) : h;
        for (int k = 0; k < FUSE_MAX_INPUTS; k++)
            h = fuse_hash_int(h, s->in[k]);
        h = hash_layout(h, &s->partition, dims);
        h = fuse_hash_int(fuse_hash_int(h, s->accumulate), s->piece_bytes);
        h = s->slices > 1 ? fuse_hash_int(h, s->slices) : h;
        h = fuse_hash_int(fuse_hash_int(h, s->staging), s->pinned);
        h = fuse_hash_int(fuse_hash_int(h, s->received_bytes_max), s->received_bytes_total);
        h = fuse_hash_int(fuse_hash_int(h, s->flops_max), s->time_ps);
        h = s->hidden_ps > 0 ? fuse_hash_int(h, s->hidden_ps) : h;
    }
    for (int i = 0; i < plan->regions.n; i++) {
        const struct fuse_region *r = &plan->regions.at[i];
        h = fuse_hash_int(fuse_hash_int(fuse_hash_int(h, r->kind), r->step), r->loop);
        h = fuse_hash_int(fuse_hash_int(h, r->first), r->count);
        h = fuse_hash_int(fuse_hash_int(h, r->op), r->index);
        h = fuse_hash_int(fuse_hash_int(h, r->turns), r->skew_input);
        h = r->owners > 0 ? fuse_hash_int(h, r->owners) : h;
        h = r->skews_nodes ? fuse_hash_int(h, 1) : h;
        h = hash_layout(hash_layout(h, &r->partition, dims), &r->skew_layout, dims);
    }
    for (int i = 0; i < plan->child.n; i++)
        h = fuse_hash_int(h, plan->child.at[i]);
    for (int i = 0; i < plan->buffers.n; i++) {
        const struct fuse_buffer *b = &plan->buffers.at[i];
        h = fuse_hash_int(fuse_hash_int(fuse_hash_int(h, b->value), b->dtype), b->kind);
        h = fuse_hash_int(fuse_hash_int(h, b->bytes), b->offset);
        h = b->doubled ? fuse_hash_int(h, 2) : h;
        h = b->resident >= 0 ? fuse_hash_int(h, b->resident) : h;
        h = b->is_shared ? fuse_hash_int(h, 1) : h;
        h = hash_holding(h, &b->holding, dims);
    }
    return h;
}
