/* Any bytes as a weight manifest: it is refused with a place and a hint, or what comes out keeps the promises of its header. */
#include "io/manifest.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void require(bool holds) {
    if (!holds)
        abort();
}

static void check_data(const struct fuse_weight_data *data, size_t bytes) {
    require(!data->path || (data->path[0] && !data->number));
    require(data->offset <= bytes);
    if (!data->number)
        return;
    int64_t n = 1;
    require(data->number->rank >= 0 && data->number->rank <= FUSE_MAX_AXES);
    for (int a = 0; a < data->number->rank; a++)
        n *= data->number->extent[a];
    require(n == data->number->n && n > 0);
    for (int64_t k = 0; k < n; k++)
        require(data->number->at[k] - data->number->at[k] == 0); /* finite */
}

static void check_weight(const struct fuse_weight *w, size_t bytes) {
    require(w->name && w->name[0] && w->name_offset < bytes && w->rank >= -1 && w->rank <= FUSE_MAX_AXES);
    check_data(&w->data, bytes);
    require((w->data.path != NULL) + (w->data.number != NULL) + (w->shards > 0) == 1);
    require(w->shard_axis >= 0 && w->shard_axis < FUSE_MAX_AXES);
    for (int k = 0; k < w->shards; k++) {
        check_data(&w->shard[k], bytes);
        require(w->shard[k].path != NULL);
    }
    check_data(&w->quant.scale, bytes);
    check_data(&w->quant.zero_point, bytes);
    require(!w->quant.is_present || w->quant.scale.path || w->quant.scale.number);
    require(!w->lora.is_present || w->lora.slot);
    bool has_chosen = !w->lora.chosen;
    for (int k = 0; k < w->lora.adapters; k++) {
        require(w->lora.adapter[k].a.path && w->lora.adapter[k].b.path);
        has_chosen |= w->lora.chosen && strcmp(w->lora.chosen, w->lora.adapter[k].name) == 0;
    }
    require(has_chosen);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_manifest manifest;
    struct fuse_error err = {0};
    require(arena != NULL);
    enum fuse_status st = fuse_manifest_parse(&manifest, arena, (const char *)data, bytes, "fuzz", &err);
    if (st == FUSE_OK) {
        for (int k = 0; k < manifest.weights; k++)
            check_weight(&manifest.weight[k], bytes);
        for (uint32_t at = 0; at < bytes; at += 7)
            require(fuse_manifest_token_end(&manifest, at) <= bytes);
    } else {
        require(st == FUSE_EINPUT && strncmp(err.message, "fuzz:", 5) == 0 && err.hint[0]);
    }
    fuse_arena_close(arena);
    return 0;
}
