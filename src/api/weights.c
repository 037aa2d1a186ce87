/* Weights from their manifest to the program: which are used, what their files hold, what is wrong. */
#include "api/packed.h"
#include "api/weights.h"
#include "io/format.h"
#include "io/remote.h"
#include "io/shards.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct fuse_diagnostic *fuse_weight_complain(struct fuse_dist_program *program, uint32_t offset, const char *format,
                                             ...) {
    const struct fuse_weights *weights = program->weights;
    struct fuse_span span = {
        .file = weights->file, .begin = offset, .end = fuse_manifest_token_end(&weights->manifest, offset)};
    char message[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    struct fuse_diagnostic *d = fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, span, "%s", message);
    if (d) {
        d->status = FUSE_EINPUT;
        d->hint = "docs/weights.md says what the keys of a weight mean and how they go together";
    }
    return d;
}

/* ---- the manifest ---- */

/* Rank 0: the folder of the manifest without links, for the others. */
static enum fuse_status find_folder(struct fuse_dist_program *program, char folder[PATH_MAX], const char *path,
                                    struct fuse_error *err) {
    if (program->job->comm->rank != 0)
        return FUSE_OK;
    char *real = realpath(path, NULL);
    if (!real || strlen(real) >= PATH_MAX) {
        free(real);
        return fuse_fail(err, FUSE_EINPUT, "%s: its folder cannot be found", path);
    }
    memcpy(folder, real, strlen(real) + 1);
    free(real);
    char *slash = strrchr(folder, '/');
    slash[slash == folder] = '\0'; /* the root folder keeps its slash */
    return FUSE_OK;
}

/* ---- behind a URL ---- */

#define CACHE_BYTES ((int64_t)64 << 30)
#define SILENT_SECONDS 60

static struct fuse_remote remote_of(const struct fuse_dist_options *o) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now); /* that of file systems */
    return (struct fuse_remote){.cache = o->weights_cache,
                                .most_bytes = o->weights_cache_bytes > 0 ? o->weights_cache_bytes : CACHE_BYTES,
                                .begun_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec,
                                .stall_seconds = o->weights_timeout > 0 ? o->weights_timeout : SILENT_SECONDS,
                                .s3_key = o->s3_key,
                                .s3_secret = o->s3_secret,
                                .s3_token = o->s3_token,
                                .s3_region = o->s3_region,
                                .s3_endpoint = o->s3_endpoint};
}

/* Collective: the first rank of every node fetches files of the URL's folder, the others wait. */
static enum fuse_status fetch(struct fuse_dist_program *program, const struct fuse_remote *remote, const char *url,
                              const char *const *name, int names, struct fuse_error *err) {
    enum fuse_status st = FUSE_OK;
    for (int k = 0; k < names && st == FUSE_OK && program->job->local_rank == 0; k++)
        st = fuse_remote_fetch(remote, program->arena, url, name[k], err);
    return fuse_agree(program->job->comm, st, err);
}

/* The manifest as a file of the cache. */
static enum fuse_status fetch_manifest(struct fuse_dist_program *program, const char **path, struct fuse_error *err) {
    const char *url = *path, *slash = strrchr(url, '/');
    const char *name = fuse_arena_strndup(program->arena, slash + 1, strcspn(slash + 1, "?#"));
    if (!program->options.weights_cache)
        return fuse_fail(err, FUSE_EUSAGE, "%s: there is no folder to keep fetched weights in: --weights-cache", url);
    if (!*name)
        return fuse_fail(err, FUSE_EINPUT, "%s: this names no file", url);
    struct fuse_remote remote = remote_of(&program->options);
    FUSE_TRY(fetch(program, &remote, url, &name, 1, err));
    *path = fuse_arena_printf(program->arena, "%s/%s", fuse_remote_folder(program->arena, &remote, url), name);
    return FUSE_OK;
}

/* Files of the manifest, once each. */
static enum fuse_status fetch_files(struct fuse_dist_program *program, const struct fuse_sources *files,
                                    struct fuse_error *err) {
    struct fuse_weights *weights = program->weights;
    const char **name = FUSE_NEW_ARRAY(program->arena, const char *, files->list.n + 1), *path, *part;
    struct fuse_map seen = {.arena = program->arena};
    int names = 0;
    int64_t other;
    if (!weights->is_remote)
        return FUSE_OK;
    for (int k = 0; k < files->list.n; k++) {
        fuse_api_split_place(&path, &part, program->arena, files->list.at[k].text);
        if (fuse_map_get(&seen, path, &other))
            continue;
        fuse_map_put(&seen, path, k);
        name[names++] = path + strlen(weights->folder) + 1;
    }
    struct fuse_remote remote = remote_of(&program->options);
    return fetch(program, &remote, weights->path, name, names, err);
}

/* ---- what the policy says about them ---- */

/* Numbers of a policy, of rank 0 or 1. */
static struct fuse_weight_data policy_numbers(struct fuse_dist_program *program, const double *real,
                                              const int64_t *integer, int n) {
    struct fuse_weight_numbers *numbers = FUSE_NEW(program->arena, struct fuse_weight_numbers);
    double *at = FUSE_NEW_ARRAY(program->arena, double, n);
    for (int k = 0; k < n; k++)
        at[k] = real ? real[k] : (double)integer[k];
    *numbers =
        (struct fuse_weight_numbers){.rank = n > 1, .extent = {n}, .n = n, .at = at, .integers = integer != NULL};
    return (struct fuse_weight_data){.number = numbers};
}

/* What the policy says about quantisation takes the place of what the manifest says. false after a diagnostic. */
static bool follow_quantization(struct fuse_dist_program *program, struct fuse_weight *weight,
                                const struct fuse_policy_quantization *rule) {
    static const char *const storages[] = {
        [FUSE_WEIGHT_INT8] = "int8", [FUSE_WEIGHT_UINT8] = "uint8", [FUSE_WEIGHT_INT4] = "int4"};
    struct fuse_weight_quant *quant = &weight->quant;
    bool had_dtype = quant->is_present;
    if (rule->mode.at && strcmp(rule->mode.at, "none") == 0) {
        quant->is_present = false;
        return true;
    }
    quant->axis = quant->is_present ? quant->axis : -1;
    quant->offset = quant->is_present ? quant->offset : weight->name_offset;
    quant->is_present = true;
    for (int k = 0; rule->dtype.at && k < 3; k++)
        if (strcmp(rule->dtype.at, storages[k]) == 0)
            quant->storage = (enum fuse_weight_storage)k;
    if (rule->has_scale)
        quant->scale = policy_numbers(program, rule->scale, NULL, rule->scales);
    if (rule->has_zero_point)
        quant->zero_point = policy_numbers(program, NULL, rule->zero_point, rule->zero_points);
    if (rule->has_group_size)
        quant->group_size = rule->group_size;
    if (rule->has_scale || rule->has_zero_point)
        quant->scale.offset = quant->zero_point.offset = quant->offset;
    quant->is_affine = quant->zero_point.path || quant->zero_point.number;
    if (rule->mode.at && strcmp(rule->mode.at, "symmetric") == 0)
        quant->is_affine = false;
    if ((had_dtype || rule->dtype.at) && (quant->scale.path || quant->scale.number))
        return true;
    fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, rule->span,
                "neither this rule nor the manifest says how '%s' is quantised", weight->name);
    return false;
}

static void follow_policy(struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    struct fuse_manifest *manifest = &program->weights->manifest;
    bool *used = FUSE_NEW_ARRAY(program->arena, bool, policy->quantization.n + 1);
    for (int w = 0; w < manifest->weights; w++) {
        struct fuse_policy_choice choice = fuse_policy_choose(
            policy->quantization.at, policy->quantization.n, sizeof *policy->quantization.at, manifest->weight[w].name);
        if (choice.rule < 0)
            continue;
        used[choice.rule] = true;
        if (choice.rival >= 0)
            used[choice.rival] = true;
        if (!follow_quantization(program, &manifest->weight[w], &policy->quantization.at[choice.rule]))
            return;
    }
    for (int k = 0; k < policy->quantization.n; k++)
        if (!used[k])
            fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, policy->quantization.at[k].pattern.span,
                        "no weight of the manifest is called '%s'", policy->quantization.at[k].pattern.at);
}

/* Collective: the bytes of the manifest, and the folder that its paths lie in. */
static enum fuse_status read_manifest(struct fuse_program_file *file, struct fuse_weights *weights,
                                      struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    const char *local = weights->path;
    char *folder = fuse_arena_alloc(program->arena, PATH_MAX);
    weights->is_remote = fuse_remote_is_url(local);
    if (weights->is_remote)
        FUSE_TRY(fetch_manifest(program, &local, err));
    FUSE_TRY(fuse_api_read_text(file, program, "weight manifest", local, err));
    file->path = weights->path;
    enum fuse_status st = find_folder(program, folder, local, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    weights->folder = folder;
    return comm->ops->broadcast(comm, folder, PATH_MAX, 0, err);
}

enum fuse_status fuse_api_read_manifest(struct fuse_dist_program *program, struct fuse_error *err) {
    const struct fuse_api_packed *packed = program->packed;
    const char *path = program->options.weights ? program->options.weights : program->policy.weights.at;
    if (!path)
        return FUSE_OK;
    struct fuse_weights *weights = FUSE_NEW(program->arena, struct fuse_weights);
    struct fuse_program_file file;
    weights->path = path;
    if (packed && packed->weights.path) {
        file = packed->weights;
        weights->folder = packed->weights_folder;
    } else {
        FUSE_TRY(read_manifest(&file, weights, program, err));
    }
    FUSE_TRY(fuse_manifest_parse(&weights->manifest, program->arena, file.text, file.bytes, path, err));
    weights->file = program->files.list.n;
    fuse_vec_push(program->arena, &program->files.list, file);
    program->weights = weights;
    follow_policy(program);
    return FUSE_OK;
}

/* ---- which weights are used ---- */

/* The adapter that the options choose for a slot, else the policy's, else the manifest's. false: the options name one that is not there. */
static bool choose_adapter(struct fuse_dist_program *program, struct fuse_used_weight *used) {
    const struct fuse_weight_lora *lora = &used->weight->lora;
    const struct fuse_policy *policy = &program->policy;
    const char *chosen = lora->chosen;
    for (int i = 0; i < policy->lora.n; i++)
        if (strcmp(policy->lora.at[i].slot.at, lora->slot) == 0)
            chosen = policy->lora.at[i].adapter.at;
    for (int i = 0; i < program->options.adapters; i++)
        if (strcmp(program->options.adapter[i].name, lora->slot) == 0)
            chosen = program->options.adapter[i].value;
    if (!chosen || strcmp(chosen, "none") == 0)
        return true;
    for (int k = 0; k < lora->adapters; k++)
        if (strcmp(lora->adapter[k].name, chosen) == 0)
            used->adapter = &lora->adapter[k];
    if (used->adapter)
        return true;
    struct fuse_text known = {.arena = program->arena};
    for (int k = 0; k < lora->adapters; k++)
        fuse_text_add(&known, "%s%s", k ? ", " : "", lora->adapter[k].name);
    struct fuse_diagnostic *d = fuse_weight_complain(program, lora->offset, "'%s' has no adapter '%s' in slot '%s'",
                                                     used->weight->name, chosen, lora->slot);
    if (d) {
        d->status = FUSE_EUSAGE;
        d->hint = fuse_arena_printf(program->arena, "it has %s and none", known.at ? known.at : "no adapter");
    }
    return false;
}

static bool has_slot(const struct fuse_dist_program *program, const char *slot) {
    const struct fuse_manifest *manifest = program->weights ? &program->weights->manifest : NULL;
    for (int w = 0; manifest && w < manifest->weights; w++)
        if (manifest->weight[w].lora.is_present && strcmp(manifest->weight[w].lora.slot, slot) == 0)
            return true;
    return false;
}

/* The options and the policy name slots that there are. */
static void check_slots(struct fuse_dist_program *program) {
    const struct fuse_policy *policy = &program->policy;
    for (int i = 0; i < program->options.adapters; i++) {
        if (has_slot(program, program->options.adapter[i].name))
            continue;
        struct fuse_diagnostic *d =
            fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, FUSE_NO_SPAN,
                        "--adapter %s: no weight has an adapter in this slot", program->options.adapter[i].name);
        if (d) {
            d->status = FUSE_EUSAGE;
            d->hint = program->weights ? "a slot is called as 'lora' of a weight says, or as the weight"
                                       : "adapters are those of a weight manifest: --weights FILE";
        }
    }
    for (int i = 0; i < policy->lora.n && program->weights; i++)
        if (!has_slot(program, policy->lora.at[i].slot.at))
            fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, policy->lora.at[i].slot.span,
                        "no weight of the manifest has an adapter in slot '%s'", policy->lora.at[i].slot.at);
}

/* Where the manifest places a weight, unless the policy says where. */
static void place_weight(struct fuse_dist_program *program, const struct fuse_used_weight *used) {
    static const enum fuse_policy_shape shapes[] = {[FUSE_PLACEMENT_ROW] = FUSE_POLICY_ROW,
                                                    [FUSE_PLACEMENT_COLUMN] = FUSE_POLICY_COLUMN,
                                                    [FUSE_PLACEMENT_REPLICATED] = FUSE_POLICY_REPLICATED};
    struct fuse_policy *policy = &program->policy;
    const struct fuse_weight *w = used->weight;
    if (w->placement == FUSE_PLACEMENT_FREE ||
        fuse_policy_choose(policy->sharding.at, policy->sharding.n, sizeof *policy->sharding.at, w->name).rule >= 0)
        return;
    struct fuse_policy_sharding rule = {.pattern = {.at = w->name, .span = used->span}, .shape = shapes[w->placement]};
    fuse_vec_push(program->arena, &policy->sharding, rule);
}

void fuse_api_find_weights(struct fuse_dist_program *program) {
    struct fuse_weights *weights = program->weights;
    check_slots(program);
    if (!weights)
        return;
    const struct fuse_manifest *manifest = &weights->manifest;
    struct fuse_wanted *wanted = FUSE_NEW_ARRAY(program->arena, struct fuse_wanted, manifest->weights);
    for (int w = 0; w < manifest->weights; w++)
        wanted[w].name = manifest->weight[w].name;
    fuse_api_survey(program, wanted, manifest->weights);
    for (int w = 0; w < manifest->weights; w++) {
        const struct fuse_weight *weight = &manifest->weight[w];
        bool is_defined = wanted[w].sources > 0 || wanted[w].equations > 0;
        struct fuse_used_weight used = {.weight = weight,
                                        .boolean = wanted[w].is_boolean,
                                        .axes = wanted[w].axes,
                                        .span = {.file = weights->file,
                                                 .begin = weight->name_offset,
                                                 .end = fuse_manifest_token_end(manifest, weight->name_offset)}};
        if (!is_defined && wanted[w].is_used) {
            if (weight->lora.is_present && !choose_adapter(program, &used))
                continue;
            place_weight(program, &used);
            fuse_vec_push(program->arena, &weights->used, used);
            continue;
        }
        if (!program->policy.strict_weights.on)
            continue;
        struct fuse_diagnostic *d = fuse_weight_complain(
            program, weight->name_offset,
            is_defined ? "the program defines '%s' itself" : "the program does not use '%s'", weight->name);
        if (d)
            d->hint = "weights are strict: every one of the manifest has to be used";
    }
}

/* ---- their files ---- */

static bool leaves_folder(const char *path) {
    for (const char *at = path; *at; at += strcspn(at, "/"), at += *at == '/')
        if (strncmp(at, "..", 2) == 0 && (at[2] == '/' || at[2] == '\0'))
            return true;
    return path[0] == '/';
}

/* A request for a file of the manifest, once for each; its text is absolute. */
static void request_file(struct fuse_dist_program *program, struct fuse_sources *sources, struct fuse_weight_part *part,
                         const struct fuse_weight_data *data) {
    const struct fuse_weights *weights = program->weights;
    part->offset = data->offset;
    if (!data->path)
        return;
    part->text = fuse_api_resolve(program->arena, weights->folder, data->path);
    if ((!program->options.weights_anywhere || weights->is_remote) && leaves_folder(data->path)) {
        struct fuse_diagnostic *d =
            fuse_weight_complain(program, data->offset, "\"%s\" lies outside of the manifest's folder", data->path);
        if (d)
            d->hint = "paths are relative to it, without '..'; --weights-anywhere lifts this";
        return;
    }
    for (int k = 0; k < sources->list.n; k++)
        if (strcmp(sources->list.at[k].text, part->text) == 0)
            return;
    struct fuse_source_request request = {.text = part->text,
                                          .span = {.file = weights->file,
                                                   .begin = data->offset,
                                                   .end = fuse_manifest_token_end(&weights->manifest, data->offset)}};
    fuse_vec_push(program->arena, &sources->list, request);
}

static void request_files(struct fuse_dist_program *program, struct fuse_sources *sources) {
    for (int u = 0; u < program->weights->used.n; u++) {
        struct fuse_used_weight *used = &program->weights->used.at[u];
        const struct fuse_weight *w = used->weight;
        struct fuse_weight_part shard;
        request_file(program, sources, &used->stored, &w->data);
        for (int k = 0; k < w->shards; k++)
            request_file(program, sources, &shard, &w->shard[k]);
        if (w->quant.is_present)
            request_file(program, sources, &used->scale, &w->quant.scale);
        if (w->quant.is_present && w->quant.is_affine)
            request_file(program, sources, &used->zero_point, &w->quant.zero_point);
        if (used->adapter) {
            request_file(program, sources, &used->a, &used->adapter->a);
            request_file(program, sources, &used->b, &used->adapter->b);
        }
    }
}

/* Rank 0: true when the file, with links resolved, is in the folder; what does not exist is somebody else's complaint. */
static bool is_inside(struct fuse_dist_program *program, const char *text) {
    const char *path, *part, *folder = program->weights->folder;
    size_t bytes = strlen(folder);
    fuse_api_split_place(&path, &part, program->arena, text);
    char *real = realpath(path, NULL);
    bool inside = !real || (strncmp(real, folder, bytes) == 0 && (real[bytes] == '/' || folder[bytes - 1] == '/'));
    free(real);
    return inside;
}

/* Collective. Links that lead out of the folder. */
static enum fuse_status check_links(struct fuse_dist_program *program, const struct fuse_sources *sources,
                                    struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    int n = sources->list.n;
    bool *outside = FUSE_NEW_ARRAY(program->arena, bool, n + 1);
    if (program->options.weights_anywhere)
        return FUSE_OK;
    for (int k = 0; k < n && comm->rank == 0; k++)
        outside[k] = !is_inside(program, sources->list.at[k].text);
    FUSE_TRY(comm->ops->broadcast(comm, outside, (size_t)n + 1, 0, err));
    for (int k = 0; k < n; k++) {
        if (!outside[k])
            continue;
        struct fuse_diagnostic *d = fuse_weight_complain(program, sources->list.at[k].span.begin,
                                                         "a link leads outside of the manifest's folder");
        if (d)
            d->hint = "files of weights lie under it; --weights-anywhere lifts this";
    }
    return FUSE_OK;
}

static const struct fuse_probe *find_probe(const struct fuse_dist_program *program, const char *text) {
    for (int k = program->probed.list.n - 1; k >= 0 && text; k--)
        if (strcmp(program->probed.list.at[k].text, text) == 0)
            return &program->probed.list.at[k].probe;
    return NULL;
}

/* The probe of a weight in shards, under a text of its own. false after a diagnostic. */
static bool join_shards(struct fuse_dist_program *program, struct fuse_used_weight *used) {
    const struct fuse_weight *w = used->weight;
    struct fuse_shards *shards = FUSE_NEW(program->arena, struct fuse_shards);
    struct fuse_probe *whole = FUSE_NEW(program->arena, struct fuse_probe);
    struct fuse_error failure = {0};
    int wrong = 0;
    *shards = (struct fuse_shards){.n = w->shards, .axis = w->shard_axis};
    shards->at = FUSE_NEW_ARRAY(program->arena, struct fuse_shard, w->shards);
    for (int k = 0; k < w->shards; k++) {
        const char *text = fuse_api_resolve(program->arena, program->weights->folder, w->shard[k].path);
        shards->at[k].probe = *find_probe(program, text);
        fuse_api_source_place(&shards->at[k].path, &shards->at[k].part, program, text);
    }
    if (fuse_shards_join(whole, &wrong, shards, &failure) != FUSE_OK) {
        fuse_weight_complain(program, w->shard[wrong].offset, "%s", failure.message);
        return false;
    }
    used->stored = (struct fuse_weight_part){
        .text =
            fuse_arena_printf(program->arena, "%s: %s", program->files.list.at[program->weights->file].path, w->name),
        .probe = whole,
        .offset = w->shard[0].offset};
    struct fuse_source_request request = {
        .text = used->stored.text, .span = used->span, .probed = true, .probe = *whole};
    fuse_vec_push(program->arena, &program->probed.list, request);
    return true;
}

static bool find_parts(struct fuse_dist_program *program, struct fuse_used_weight *used) {
    struct fuse_weight_part *const parts[] = {&used->stored, &used->scale, &used->zero_point, &used->a, &used->b};
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        parts[k]->probe = find_probe(program, parts[k]->text);
    return used->weight->shards == 0 || join_shards(program, used);
}

/* ---- strictness ---- */

static void check_in_place(struct fuse_dist_program *program, const char *place, const struct fuse_probe *probe,
                           uint32_t offset) {
    const char *path, *part;
    fuse_api_split_place(&path, &part, program->arena, place);
    const struct fuse_format *format = fuse_format_find(path);
    const char *why = !format->is_flat    ? "its bytes are not those of the elements"
                      : probe->big_endian ? "its byte order is the other one"
                      : fuse_dtype_resident(probe->file_dtype) != probe->file_dtype
                          ? "its element type has to be widened"
                          : NULL;
    if (!why)
        return;
    struct fuse_diagnostic *d = fuse_weight_complain(program, offset, "this file cannot be read in place: %s", why);
    if (d)
        d->hint = "weights are read in place (strict_mmap) from npy and safetensors files in this machine's byte order";
}

static void check_strict(struct fuse_dist_program *program, const struct fuse_used_weight *used) {
    const struct fuse_weight *w = used->weight;
    const struct fuse_weight_part *const parts[] = {&used->stored, &used->scale, &used->zero_point, &used->a, &used->b};
    if (used->casts && !w->quant.is_present && !w->data.number && w->scale == 1) {
        if (program->policy.strict_weights.on || program->policy.strict_mmap.on) {
            struct fuse_diagnostic *d =
                fuse_weight_complain(program, w->dtype_offset, "'%s' is declared as %s, and its file holds %s", w->name,
                                     fuse_dtype_name(w->dtype), fuse_dtype_name(used->stored.probe->file_dtype));
            if (d)
                d->hint = "weights are strict: nothing is converted silently";
        } else {
            struct fuse_span span = {.file = program->weights->file,
                                     .begin = w->dtype_offset,
                                     .end = fuse_manifest_token_end(&program->weights->manifest, w->dtype_offset)};
            fuse_report(&program->diagnostics, FUSE_SEVERITY_NOTE, span, "'%s' is converted from %s to %s", w->name,
                        fuse_dtype_name(used->stored.probe->file_dtype), fuse_dtype_name(w->dtype));
        }
    }
    if (!program->policy.strict_mmap.on)
        return;
    for (int k = 0; k < w->shards; k++)
        check_in_place(program, w->shard[k].path, &used->stored.probe->shards->at[k].probe, w->shard[k].offset);
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        if (parts[k]->probe && !parts[k]->probe->shards)
            check_in_place(program, parts[k]->text, parts[k]->probe, parts[k]->offset);
}

/* ---- into the program ---- */

static void summarise(struct fuse_text *text, const struct fuse_used_weight *used) {
    static const char *const storages[] = {
        [FUSE_WEIGHT_INT8] = "int8", [FUSE_WEIGHT_UINT8] = "uint8", [FUSE_WEIGHT_INT4] = "int4"};
    const struct fuse_weight *w = used->weight;
    if (w->shards > 0)
        fuse_text_add(text, "%d shards along axis %d", w->shards, w->shard_axis);
    else
        fuse_text_add(text, "%s", w->data.path ? w->data.path : "a value in the manifest");
    if (w->quant.is_present)
        fuse_text_add(text, ", unpacked from %s where it is used", storages[w->quant.storage]);
    if (used->adapter)
        fuse_text_add(text, ", adapter '%s' of slot '%s' %s", used->adapter->name, w->lora.slot,
                      w->lora.merge ? "merged" : "as two thin products");
    if (w->prefetch)
        fuse_text_add(text, ", to be fetched early");
}

static void tell(struct fuse_dist_program *program, const struct fuse_used_weight *used) {
    struct fuse_text text = {.arena = program->arena};
    summarise(&text, used);
    fuse_api_add_event(program, "weight", "%s from %s", used->weight->name, text.at);
}

void fuse_api_describe_weights(struct fuse_text *text, const struct fuse_dist_program *program) {
    const struct fuse_weights *weights = program->weights;
    if (weights && weights->manifest.metadata)
        fuse_text_add(text, "  the manifest says of itself: %s\n", weights->manifest.metadata);
    for (int u = 0; weights && u < weights->used.n; u++) {
        const struct fuse_used_weight *used = &weights->used.at[u];
        fuse_text_add(text, "  %s from ", used->weight->name);
        summarise(text, used);
        fuse_text_add(text, "%s%s\n", used->weight->metadata ? "; " : "",
                      used->weight->metadata ? used->weight->metadata : "");
    }
}

/* Parses what defines a weight as one more file of the program. */
static void add_program(struct fuse_dist_program *program, const struct fuse_used_weight *used) {
    const char *text = fuse_weight_program(program, used);
    struct fuse_program_file file = {.path = program->files.list.at[program->weights->file].path,
                                     .text = text,
                                     .bytes = strlen(text),
                                     .is_made = true,
                                     .origin = used->span};
    int number = program->files.list.n;
    fuse_vec_push(program->arena, &program->files.list, file);
    (void)fuse_parse(&program->ast, program->arena, &program->files, number, &program->diagnostics);
    tell(program, used);
}

enum fuse_status fuse_api_take_weights(struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_weights *weights = program->weights;
    struct fuse_sources files = {0};
    if (!weights)
        return FUSE_OK;
    int errors = program->diagnostics.errors;
    request_files(program, &files);
    if (program->diagnostics.errors > errors)
        return FUSE_OK;
    FUSE_TRY(fetch_files(program, &files, err));
    FUSE_TRY(check_links(program, &files, err));
    if (program->diagnostics.errors > errors)
        return FUSE_OK;
    const struct fuse_sources sources = program->sources;
    program->sources = files;
    enum fuse_status st = fuse_api_probe_sources(program, err);
    files = program->sources;
    program->sources = sources;
    FUSE_TRY(st);
    for (int k = 0; k < files.list.n; k++)
        fuse_vec_push(program->arena, &program->probed.list, files.list.at[k]);
    if (program->diagnostics.errors > errors)
        return FUSE_OK;
    for (int u = 0; u < weights->used.n; u++) {
        struct fuse_used_weight *used = &weights->used.at[u];
        if (!find_parts(program, used) || !fuse_weight_check(program, used))
            continue;
        check_strict(program, used);
        add_program(program, used);
    }
    return FUSE_OK;
}
