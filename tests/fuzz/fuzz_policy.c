/* Any bytes as a policy: it is read or refused, what is kept is within its bounds, and every place lies in the text. */
#include "api/policy.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void demand(bool holds) {
    if (!holds)
        abort();
}

static void check_text(const struct fuse_policy_text *text, size_t bytes) {
    demand(text->at && text->span.file == 0 && text->span.begin < text->span.end && text->span.end <= bytes);
}

static void check_sharding(const struct fuse_policy *policy, const struct fuse_policy_sharding *rule, size_t bytes) {
    bool taken[FUSE_POLICY_MESH_MAX] = {false};
    check_text(&rule->pattern, bytes);
    demand(rule->splits <= FUSE_MAX_AXES);
    for (int k = 0; k < rule->splits; k++) {
        check_text(&rule->split[k].axis, bytes);
        for (int j = 0; j < rule->split[k].dims; j++) {
            int dim = rule->split[k].dim[j];
            demand(dim >= 0 && dim < policy->mesh.n && !taken[dim]);
            taken[dim] = true;
        }
    }
}

static void check_temperature(const struct fuse_policy_temperature *rule, size_t bytes) {
    check_text(&rule->pattern, bytes);
    demand(rule->points >= 1);
    for (int i = 0; i < rule->points; i++)
        demand(rule->point[i].temperature >= 0 && (i == 0 || rule->point[i].step > rule->point[i - 1].step));
}

static void check(const struct fuse_policy *policy, size_t bytes) {
    int rest = 0;
    demand(policy->mesh.n <= FUSE_POLICY_MESH_MAX);
    for (int i = 0; i < policy->mesh.n; i++) {
        demand(policy->mesh.at[i].size >= 0);
        rest += policy->mesh.at[i].size == 0;
    }
    for (int i = 0; i < policy->sharding.n; i++)
        check_sharding(policy, &policy->sharding.at[i], bytes);
    for (int i = 0; i < policy->temperatures.n; i++)
        check_temperature(&policy->temperatures.at[i], bytes);
    for (int i = 0; i < policy->io.n; i++) {
        const struct fuse_policy_io *rule = &policy->io.at[i];
        check_text(&rule->pattern, bytes);
        demand(rule->gzip_level >= 0 && rule->gzip_level <= 9);
        for (int a = 0; a < rule->chunk_rank; a++)
            demand(rule->chunk[a] >= 1);
        demand(fuse_policy_fit(rule->pattern.at, rule->pattern.at) == INT_MAX);
        demand(fuse_policy_fit("*", rule->pattern.at) > 0);
    }
    for (int i = 0; i < policy->quantization.n; i++) {
        const struct fuse_policy_quantization *rule = &policy->quantization.at[i];
        for (int k = 0; k < rule->scales; k++)
            demand(rule->scale[k] > 0);
        demand(rule->has_scale == (rule->scales > 0) && (!rule->has_group_size || rule->group_size >= 1));
    }
    for (int i = 0; i < policy->lora.n; i++)
        check_text(&policy->lora.at[i].slot, bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes) {
    struct fuse_arena *arena = fuse_arena_open(NULL);
    struct fuse_files files = {.arena = arena};
    struct fuse_diagnostics diagnostics = {.arena = arena};
    struct fuse_policy policy = {0};
    struct fuse_error err = {0};
    demand(arena != NULL);
    struct fuse_program_file file = {
        .path = "folder/policy.json", .text = fuse_arena_strndup(arena, (const char *)data, bytes), .bytes = bytes};
    fuse_vec_push(arena, &files.list, file);
    enum fuse_status st = fuse_policy_parse(&policy, arena, &files, 0, &diagnostics, &err);
    demand(st == FUSE_OK ? err.status == FUSE_OK : st == FUSE_EINPUT && err.message[0] != '\0');
    if (st == FUSE_OK && diagnostics.errors == 0)
        check(&policy, bytes);
    struct fuse_text text = {.arena = arena};
    for (int i = 0; i < diagnostics.list.n; i++)
        fuse_diagnostic_print(&text, &files, &diagnostics.list.at[i]);
    fuse_arena_close(arena);
    return 0;
}
