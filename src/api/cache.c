/* Plans of earlier starts: DIR/plans/KEY.plan holds what a program becomes, from its files to its plan.
 *
 *     magic  bytes of the rest  digest of the rest  |  head: build, key, files, sources, messages  |  IR  |  plan
 *
 * KEY is a digest of the key: the text of the program, the options that change a plan, the request and the build. The key
 * itself is in the entry and compared; so are the texts of imported files and what probes say of the sources. Other
 * folders of DIR are free for other things that are kept.
 *
 * What symbols or a weight manifest make of a program is not known from its text. Such a program is checked at every start, and
 * the key of its entry has, beside the text, the IR before it is simplified and all that is known of its sources. */
#include "api/cache.h"

#include "api/packed.h"
#include "api/policy_apply.h"
#include "core/hash.h"
#include "io/rawfile.h"
#include "ir/ir_pack.h"
#include "plan/plan_pack.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = INT_MAX - 1 };

/* ---- what an entry says before its IR ---- */

struct kept_source {
    const char *text;
    struct fuse_span span;
    const void *probe; /* packed, with its tally */
    size_t probe_bytes;
};

struct head {
    const char *build;
    const void *key;
    size_t key_bytes;
    FUSE_VEC(struct fuse_api_lookup) lookups;
    FUSE_VEC(struct fuse_program_file) files;
    int first_query;
    FUSE_VEC(struct kept_source) sources;
    FUSE_VEC(struct fuse_api_event) events;
    FUSE_VEC(struct fuse_sink_storage) storage; /* [ops], or none */
    const char *output_root;                    /* where the policy has the last word */
    bool is_constrained, free_fits;             /* what its layouts cost */
    struct fuse_policy_cost free_cost;
    const char *messages;
};

/* A list of structs: one more when reading, the next one when writing. */
#define EACH(pack, list, type, least, each)                         \
    do {                                                            \
        int count_ = (list).n;                                      \
        fuse_pack_count((pack), &count_, MOST, least);              \
        for (int i_ = 0; i_ < count_; i_++) {                       \
            if ((pack)->is_reading)                                 \
                fuse_vec_push((pack)->arena, &(list), ((type){0})); \
            type *each = &(list).at[i_];

#define END_EACH \
    }            \
    }            \
    while (0)

static void pack_storage(struct fuse_pack *pack, struct fuse_sink_storage *storage) {
    for (int a = 0; a < FUSE_MAX_AXES; a++)
        fuse_pack_range(pack, &storage->chunk[a], 0, FUSE_MAX_EXTENT);
    FUSE_PACK(pack, storage->gzip, 0, 9);
}

static void pack_cost(struct fuse_pack *pack, struct fuse_policy_cost *cost) {
    fuse_pack_int64(pack, &cost->time_ps);
    fuse_pack_int64(pack, &cost->received_bytes_max);
    fuse_pack_int64(pack, &cost->received_bytes_total);
    fuse_pack_int64(pack, &cost->peak_bytes);
}

static void pack_head(struct fuse_pack *pack, struct head *head) {
    fuse_pack_string(pack, &head->build);
    fuse_pack_bytes(pack, &head->key, &head->key_bytes);
    EACH(pack, head->lookups, struct fuse_api_lookup, 3, lookup)
    fuse_pack_string(pack, &lookup->text);
    FUSE_PACK(pack, lookup->from, 0, MOST);
    FUSE_PACK(pack, lookup->file, 0, MOST);
    END_EACH;
    EACH(pack, head->files, struct fuse_program_file, 2, file)
    const void *at = file->text;
    fuse_pack_string(pack, &file->path);
    fuse_pack_bytes(pack, &at, &file->bytes);
    file->text = at;
    END_EACH;
    FUSE_PACK(pack, head->first_query, 0, MOST);
    EACH(pack, head->sources, struct kept_source, 5, source)
    fuse_pack_string(pack, &source->text);
    fuse_span_pack(pack, &source->span);
    fuse_pack_bytes(pack, &source->probe, &source->probe_bytes);
    END_EACH;
    EACH(pack, head->events, struct fuse_api_event, 2, event)
    fuse_pack_string(pack, &event->kind);
    fuse_pack_string(pack, &event->text);
    END_EACH;
    EACH(pack, head->storage, struct fuse_sink_storage, 33, storage)
    pack_storage(pack, storage);
    END_EACH;
    fuse_pack_string(pack, &head->output_root);
    fuse_pack_bool(pack, &head->is_constrained);
    fuse_pack_bool(pack, &head->free_fits);
    pack_cost(pack, &head->free_cost);
    fuse_pack_string(pack, &head->messages);
}

static bool is_whole(const struct head *head) {
    bool whole = head->build && head->key;
    for (int i = 0; i < head->lookups.n; i++)
        whole &= head->lookups.at[i].text && head->lookups.at[i].file < head->files.n &&
                 head->lookups.at[i].from < head->files.n;
    for (int i = 0; i < head->files.n; i++)
        whole &= head->files.at[i].path != NULL;
    for (int i = 0; i < head->sources.n; i++)
        whole &= head->sources.at[i].text != NULL;
    for (int i = 0; i < head->events.n; i++)
        whole &= head->events.at[i].kind && head->events.at[i].text;
    return whole;
}

/* Writing only. All that a probe says, but for its index and where shards lie. */
static void add_probe(struct fuse_pack *pack, const struct fuse_probe *probe) {
    struct fuse_probe copy = *probe;
    bool has_tally = probe->tally != NULL;
    int shards = probe->shards ? probe->shards->n : 0;
    fuse_probe_pack(pack, &copy);
    fuse_pack_bool(pack, &has_tally);
    if (has_tally) {
        struct fuse_tally tally = *probe->tally;
        memset(tally.refused, 0, sizeof tally.refused); /* words, with the place where the file lies */
        fuse_tally_pack(pack, &tally);
    }
    fuse_pack_count(pack, &shards, MOST, 1);
    for (int k = 0; k < shards; k++)
        add_probe(pack, &probe->shards->at[k].probe);
}

static struct fuse_pack pack_probe(struct fuse_arena *arena, const struct fuse_probe *probe) {
    struct fuse_pack pack = fuse_pack_writer(arena);
    add_probe(&pack, probe);
    return pack;
}

/* ---- the key ---- */

static void add_pairs(struct fuse_pack *pack, const struct fuse_dist_define *pair, int pairs) {
    fuse_pack_count(pack, &pairs, MOST, 1);
    for (int i = 0; i < pairs; i++) {
        const char *name = pair[i].name, *value = pair[i].value;
        fuse_pack_string(pack, &name);
        fuse_pack_string(pack, &value);
    }
}

static void add_words(struct fuse_pack *pack, const char *const *word, int words) {
    fuse_pack_count(pack, &words, MOST, 1);
    for (int i = 0; i < words; i++) {
        const char *text = word[i];
        fuse_pack_string(pack, &text);
    }
}

static struct fuse_pack make_key(struct fuse_dist_program *program, const struct fuse_plan_request *request) {
    struct fuse_pack pack = fuse_pack_writer(program->arena);
    const struct fuse_dist_options *o = &program->options;
    const struct fuse_program_file *main = &program->files.list.at[0];
    const char *words[] = {fuse_dist_version(),
                           main->path,
                           o->backend ? o->backend : "cpu",
                           o->precision,
                           o->validate,
                           o->projection,
                           o->mode,
                           o->tol,
                           o->rtol,
                           o->out,
                           o->output_root ? "output root" : NULL,
                           o->weights,
                           o->weights_anywhere ? "weights anywhere" : NULL};
    int64_t samples = o->samples, seed = o->seed;
    bool strict = o->warnings_are_errors;
    size_t bytes = main->bytes;
    const void *text = main->text;
    struct fuse_plan_request copy = *request;
    add_words(&pack, words, sizeof words / sizeof *words);
    fuse_pack_bytes(&pack, &text, &bytes);
    fuse_pack_int64(&pack, &samples);
    fuse_pack_int64(&pack, &seed);
    fuse_pack_bool(&pack, &strict);
    add_words(&pack, o->query, o->queries);
    add_words(&pack, o->count, o->counts);
    add_pairs(&pack, o->input, o->inputs);
    add_pairs(&pack, o->define, o->defines);
    add_pairs(&pack, o->adapter, o->adapters);
    fuse_plan_request_pack(&pack, &copy);
    const char *policy = program->policy_file.path;
    const void *rules = program->policy_file.text;
    fuse_pack_string(&pack, &policy);
    if (policy)
        fuse_pack_bytes(&pack, &rules, &program->policy_file.bytes);
    return pack;
}

static struct fuse_probed probed_sources(const struct fuse_dist_program *program) {
    const struct fuse_sources *known = program->is_kept_checked ? &program->checked : &program->sources;
    struct fuse_probed probed = {.n = known->list.n};
    probed.probe = FUSE_NEW_ARRAY(program->arena, const struct fuse_probe *, probed.n + 1);
    for (int i = 0; i < probed.n; i++)
        probed.probe[i] = &known->list.at[i].probe;
    return probed;
}

/* Behind the key so far: the program's IR and its sources, and the request as it has become. */
static struct fuse_pack make_checked_key(struct fuse_dist_program *program, const struct fuse_plan_request *request) {
    struct fuse_pack pack = fuse_pack_writer(program->arena);
    struct fuse_plan_request copy = *request;
    struct fuse_ir ir = program->ir;
    const void *before = program->cache_key;
    fuse_pack_bytes(&pack, &before, &program->cache_key_bytes);
    fuse_plan_request_pack(&pack, &copy);
    program->checked = (struct fuse_sources){0};
    for (int o = 0; o < ir.ops.n; o++) {
        const struct fuse_op *op = ir.ops.at[o];
        if (op->kind != FUSE_OP_SOURCE)
            continue;
        struct fuse_source_request source = {.text = op->path, .span = op->span, .probed = true, .probe = op->probe};
        fuse_vec_push(program->arena, &program->checked.list, source);
        add_probe(&pack, &op->probe);
    }
    program->is_kept_checked = true;
    struct fuse_probed probed = probed_sources(program);
    fuse_ir_pack(&pack, &ir, &probed);
    return pack;
}

static const char *entry_path(struct fuse_dist_program *program, const char *build) {
    uint64_t digest = fuse_hash_bytes(FUSE_HASH_SEED, program->cache_key, program->cache_key_bytes);
    digest = fuse_hash_string(digest, build);
    return fuse_arena_printf(program->arena, "%s/plans/%016" PRIx64 ".plan", program->options.cache, digest);
}

/* ---- reading ---- */

struct loading {
    struct fuse_dist_program *program;
    struct fuse_pack pack;
    const char *build, *path;
    struct head head;
    const char *why; /* an entry is there and cannot be used; the same on every rank */
    bool from_pack;
};

/* Rank 0: the files that the entry was made from are those that a program of today would take. */
static bool same_files(struct loading *l) {
    struct fuse_dist_program *program = l->program;
    const struct fuse_program_file *main = &program->files.list.at[0], *kept = l->head.files.at;
    bool same = l->head.files.n > 0 && main->bytes == kept->bytes && memcmp(main->text, kept->text, kept->bytes) == 0;
    for (int i = 0; i < l->head.lookups.n && same; i++) {
        const struct fuse_api_lookup *lookup = &l->head.lookups.at[i];
        struct fuse_program_file found = {0};
        int number = lookup->from < program->files.list.n ? fuse_api_look_up(program, &found, lookup) : -1;
        same = number == lookup->file;
        if (!same || !found.path)
            continue;
        kept = &l->head.files.at[number];
        same = strcmp(found.path, kept->path) == 0 && found.bytes == kept->bytes &&
               memcmp(found.text, kept->text, kept->bytes) == 0;
        fuse_vec_push(program->arena, &program->files.list, *kept);
    }
    program->files.list.n = 1;
    program->real_path.n = 0;
    return same;
}

static bool open_head(struct loading *l, const unsigned char *at, size_t bytes) {
    l->pack = fuse_pack_reader(l->program->arena, at + FUSE_API_SEAL_BYTES, bytes - FUSE_API_SEAL_BYTES);
    pack_head(&l->pack, &l->head);
    return !l->pack.has_failed && is_whole(&l->head);
}

/* Rank 0. NULL: there is no entry that can be used; with l->why, one that should not be there. */
static const unsigned char *find_entry(struct loading *l, size_t *bytes) {
    const struct fuse_api_packed *packed = l->program->packed;
    const unsigned char *at;
    if (l->from_pack) {
        at = packed->plan;
        *bytes = packed->plan_bytes;
        l->why = at ? fuse_api_open_seal(at, *bytes) : "it has none";
    } else {
        at = fuse_api_read_entry(bytes, &l->why, l->program->arena, l->path);
    }
    if (!at || l->why)
        return NULL;
    if (!open_head(l, at, *bytes))
        l->why = "it is damaged";
    else if (strcmp(l->head.build, l->build) != 0)
        l->why = "it is of another build of fuse-dist";
    else if (l->head.key_bytes != l->program->cache_key_bytes ||
             memcmp(l->head.key, l->program->cache_key, l->head.key_bytes) != 0)
        l->why = l->from_pack ? "it is for other options, ranks or memory" : "it is of another program";
    return l->why || (!l->program->is_kept_checked && !same_files(l)) ? NULL : at;
}

/* Collective: what rank 0 has found, for all. *at NULL: nothing. */
static enum fuse_status share_entry(struct loading *l, const unsigned char **at, size_t *bytes,
                                    struct fuse_error *err) {
    struct fuse_comm *comm = l->program->job->comm;
    struct {
        int64_t bytes;
        char why[200];
    } said = {0};
    if (comm->rank == 0) {
        *at = find_entry(l, bytes);
        said.bytes = *at ? (int64_t)*bytes : 0;
        snprintf(said.why, sizeof said.why, "%s", l->why ? l->why : "");
    }
    FUSE_TRY(comm->ops->broadcast(comm, &said, sizeof said, 0, err));
    l->why = said.why[0] ? fuse_arena_printf(l->program->arena, "%s", said.why) : NULL;
    if (said.bytes == 0) {
        *at = NULL;
        return FUSE_OK;
    }
    unsigned char *copy = (unsigned char *)*at;
    if (comm->rank != 0)
        *at = copy = fuse_arena_alloc(l->program->arena, (size_t)said.bytes);
    *bytes = (size_t)said.bytes;
    FUSE_TRY(comm->ops->broadcast(comm, copy, (size_t)said.bytes, 0, err));
    if (comm->rank != 0 && !open_head(l, *at, *bytes))
        l->why = "it is damaged";
    return FUSE_OK;
}

/* Collective: true when every source is what it was. */
static enum fuse_status same_sources(bool *same, struct loading *l, struct fuse_error *err) {
    struct fuse_dist_program *program = l->program;
    for (int i = 0; i < l->head.sources.n; i++) {
        struct fuse_source_request request = {.text = l->head.sources.at[i].text, .span = l->head.sources.at[i].span};
        fuse_vec_push(program->arena, &program->sources.list, request);
    }
    double probing = fuse_api_seconds();
    FUSE_TRY(fuse_api_probe_sources(program, err));
    program->compile_seconds -= fuse_api_seconds() - probing;
    *same = program->diagnostics.errors == 0;
    for (int i = 0; i < l->head.sources.n && *same; i++) {
        const struct kept_source *kept = &l->head.sources.at[i];
        struct fuse_arena_mark mark = fuse_arena_mark(program->arena);
        struct fuse_pack now = pack_probe(program->arena, &program->sources.list.at[i].probe);
        *same = !now.has_failed && now.bytes == kept->probe_bytes && memcmp(now.at, kept->probe, now.bytes) == 0;
        fuse_arena_rewind(program->arena, mark);
    }
    return FUSE_OK;
}

/* Files of the IR are those of the program: sources that were probed, sinks that a program may have. */
static bool has_right_places(struct fuse_dist_program *program) {
    const struct fuse_sources *known = program->is_kept_checked ? &program->checked : &program->sources;
    for (int o = 0; o < program->ir.ops.n; o++) {
        const struct fuse_op *op = program->ir.ops.at[o];
        if (op->kind == FUSE_OP_SINK && op->path && !fuse_api_may_write(program, op->path))
            return false;
        if (op->kind != FUSE_OP_SOURCE)
            continue;
        bool is_known = false;
        for (int i = 0; i < known->list.n && !is_known; i++) {
            const struct fuse_source_request *source = &known->list.at[i];
            is_known = strcmp(source->text, op->path) == 0 && source->probe.tally == op->probe.tally &&
                       source->probe.index == op->probe.index && source->probe.shards == op->probe.shards;
        }
        if (!is_known)
            return false;
    }
    return true;
}

/* Local: the IR and the plan of an entry whose head is right. */
static bool take_plan(struct loading *l) {
    struct fuse_dist_program *program = l->program;
    struct fuse_probed probed = probed_sources(program);
    struct fuse_plan *plan = FUSE_NEW(program->arena, struct fuse_plan);
    struct fuse_error err = {0};
    fuse_ir_pack(&l->pack, &program->ir, &probed);
    if (l->pack.has_failed || fuse_ir_verify(&program->ir, &err) != FUSE_OK || !has_right_places(program))
        return false;
    if (l->head.storage.n > 0 && l->head.storage.n != program->ir.ops.n)
        return false;
    plan->arena = program->arena;
    plan->ir = &program->ir;
    fuse_plan_pack(&l->pack, plan);
    if (!fuse_pack_is_done(&l->pack) || fuse_plan_check(plan, &err) != FUSE_OK)
        return false;
    program->plan = plan;
    return true;
}

static void take_head(struct loading *l) {
    struct fuse_dist_program *program = l->program;
    program->files.list.n = 0;
    for (int i = 0; i < l->head.files.n; i++)
        fuse_vec_push(program->arena, &program->files.list, l->head.files.at[i]);
    program->first_query = l->head.first_query;
    if (!program->options.output_root) /* what the user says cannot be overruled by a file */
        program->options.output_root = l->head.output_root;
}

/* What was begun with an entry that turned out not to be usable. */
static void forget(struct loading *l, const struct fuse_diagnostics *before) {
    struct fuse_dist_program *program = l->program;
    for (int i = 0; i < program->sources.list.n; i++)
        if (program->sources.list.at[i].probed)
            fuse_vec_push(program->arena, &program->probed.list, program->sources.list.at[i]);
    program->sources = (struct fuse_sources){0};
    program->files.list.n = 1;
    program->first_query = 0;
    program->diagnostics = *before;
    program->ir = (struct fuse_ir){.arena = program->arena};
    program->plan = NULL;
}

/* Collective: the entry of a checked program. */
static enum fuse_status use_checked(bool *hit, struct loading *l, struct fuse_error *err) {
    struct fuse_dist_program *program = l->program;
    struct fuse_comm *comm = program->job->comm;
    struct fuse_ir checked = program->ir;
    program->ir = (struct fuse_ir){.arena = program->arena};
    int64_t fine = take_plan(l);
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &fine, 1, err));
    if (fine)
        FUSE_TRY(fuse_api_same(comm, hit, program->plan->hash, err));
    if (*hit)
        return FUSE_OK;
    l->why = "it is damaged";
    program->ir = checked;
    program->plan = NULL;
    return FUSE_OK;
}

/* Collective: the entry of a program's text. */
static enum fuse_status use_entry(bool *hit, struct loading *l, struct fuse_error *err) {
    struct fuse_dist_program *program = l->program;
    struct fuse_comm *comm = program->job->comm;
    struct fuse_diagnostics before = program->diagnostics;
    const char *output_root = program->options.output_root;
    bool same = false;
    take_head(l);
    FUSE_TRY(same_sources(&same, l, err));
    int64_t fine = same && take_plan(l);
    FUSE_TRY(comm->ops->reduce_int64(comm, FUSE_REDUCE_MIN, &fine, 1, err));
    if (fine)
        FUSE_TRY(fuse_api_same(comm, hit, program->plan->hash, err));
    if (same && !*hit)
        l->why = "it is damaged";
    if (!*hit)
        forget(l, &before);
    if (!*hit)
        program->options.output_root = output_root;
    return FUSE_OK;
}

/* false when there is to be no cache, or this build cannot have one. */
static bool prepare(struct loading *l, struct fuse_dist_program *program) {
    *l = (struct loading){.program = program};
    l->build = fuse_api_build_id(program->arena);
    if (!program->cache_key || !l->build)
        return false;
    l->path = program->options.cache ? entry_path(program, l->build) : NULL;
    return true;
}

/* Collective. The policy is read now; what cannot be read is told when it is wanted. */
static enum fuse_status make_cache_key(struct fuse_dist_program *program, const struct fuse_plan_request *request) {
    struct fuse_error ignored = {0};
    if (program->options.policy && !program->policy_file.path &&
        fuse_api_read_text(&program->policy_file, program, "policy", program->options.policy, &ignored) != FUSE_OK)
        return FUSE_EINPUT;
    struct fuse_pack key = make_key(program, request);
    program->cache_key = key.at;
    program->cache_key_bytes = key.bytes;
    return FUSE_OK;
}

static void take_rest(struct loading *l) {
    struct fuse_dist_program *program = l->program;
    for (int i = 0; i < l->head.events.n; i++)
        fuse_vec_push(program->arena, &program->events, l->head.events.at[i]);
    program->is_constrained = l->head.is_constrained;
    program->free_fits = l->head.free_fits;
    program->free_cost = l->head.free_cost;
    program->storage = l->head.storage.n > 0 ? l->head.storage.at : NULL;
    if (l->head.messages)
        fuse_text_add(&program->messages, "%s", l->head.messages);
    fuse_api_add_event(program, "cache", "the plan came from %s", l->path);
}

/* Collective. */
static enum fuse_status try_entry(bool *hit, struct loading *l, struct fuse_error *err) {
    const unsigned char *at = NULL;
    size_t bytes = 0;
    FUSE_TRY(share_entry(l, &at, &bytes, err));
    if (at && !l->why)
        FUSE_TRY(l->program->is_kept_checked ? use_checked(hit, l, err) : use_entry(hit, l, err));
    if (*hit)
        take_rest(l);
    return FUSE_OK;
}

/* Collective: the plan of the pack that the program is in, else of the cache. */
static enum fuse_status try_entries(bool *hit, struct fuse_dist_program *program, struct fuse_error *err) {
    struct loading l;
    if (!prepare(&l, program))
        return FUSE_OK;
    if (program->packed) {
        struct loading in_pack = {.program = program, .build = l.build, .path = program->path, .from_pack = true};
        FUSE_TRY(try_entry(hit, &in_pack, err));
        program->pack_complaint = in_pack.why;
    }
    if (*hit || !program->options.cache)
        return FUSE_OK;
    FUSE_TRY(try_entry(hit, &l, err));
    program->cache_complaint = l.why;
    return FUSE_OK;
}

enum fuse_status fuse_api_load_plan(bool *hit, struct fuse_dist_program *program,
                                    const struct fuse_plan_request *request, struct fuse_error *err) {
    *hit = false;
    if (program->converted_to || program->perturb || make_cache_key(program, request) != FUSE_OK)
        return FUSE_OK;
    return try_entries(hit, program, err);
}

enum fuse_status fuse_api_load_checked_plan(bool *hit, struct fuse_dist_program *program,
                                            const struct fuse_plan_request *request, struct fuse_error *err) {
    *hit = false;
    if (!program->cache_key)
        return FUSE_OK;
    struct fuse_pack key = make_checked_key(program, request);
    program->cache_key = key.has_failed ? NULL : key.at;
    program->cache_key_bytes = key.bytes;
    program->checked_events = program->events.n;
    program->checked_message_bytes = program->messages.bytes;
    return try_entries(hit, program, err);
}

uint64_t fuse_api_probe_digest(struct fuse_arena *arena, const struct fuse_probe *probe) {
    struct fuse_arena_mark mark = fuse_arena_mark(arena);
    struct fuse_pack pack = pack_probe(arena, probe);
    uint64_t digest = fuse_hash_bytes(FUSE_HASH_SEED, pack.at, pack.bytes);
    fuse_arena_rewind(arena, mark);
    return digest;
}

/* ---- writing ---- */

static void write_head(struct fuse_pack *pack, struct loading *l) {
    struct fuse_dist_program *program = l->program;
    struct fuse_arena *arena = program->arena;
    struct head head = {.build = l->build,
                        .key = program->cache_key,
                        .key_bytes = program->cache_key_bytes,
                        .output_root = program->options.output_root,
                        .is_constrained = fuse_api_is_constrained(program),
                        .free_fits = program->free_fits,
                        .free_cost = program->free_cost,
                        .first_query = program->first_query,
                        .messages =
                            program->messages.at ? program->messages.at + program->checked_message_bytes : NULL};
    bool checked = program->is_kept_checked;
    for (int i = 0; i < program->lookups.n && !checked; i++)
        fuse_vec_push(arena, &head.lookups, program->lookups.at[i]);
    for (int i = 0; i < program->files.list.n && !checked; i++)
        fuse_vec_push(arena, &head.files, program->files.list.at[i]);
    for (int i = 0; i < program->sources.list.n && !checked; i++) {
        const struct fuse_source_request *source = &program->sources.list.at[i];
        struct fuse_pack probe = pack_probe(arena, &source->probe);
        struct kept_source kept = {
            .text = source->text, .span = source->span, .probe = probe.at, .probe_bytes = probe.bytes};
        pack->has_failed |= probe.has_failed;
        fuse_vec_push(arena, &head.sources, kept);
    }
    for (int i = program->checked_events; i < program->events.n; i++)
        if (strcmp(program->events.at[i].kind, "cache") != 0)
            fuse_vec_push(arena, &head.events, program->events.at[i]);
    const struct fuse_sink_storage *storage = fuse_api_storage(program);
    for (int o = 0; storage && o < program->ir.ops.n; o++)
        fuse_vec_push(arena, &head.storage, storage[o]);
    pack_head(pack, &head);
}

/* What was written, read again, makes the same bytes: what does not is not kept. */
static bool reads_back(const struct fuse_pack *written, size_t head_bytes, const struct fuse_probed *probed) {
    struct fuse_arena *arena = fuse_arena_open(fuse_api_out_of_memory);
    if (!arena)
        return false;
    struct fuse_pack in = fuse_pack_reader(arena, written->at + head_bytes, written->bytes - head_bytes);
    struct fuse_pack out = fuse_pack_writer(arena);
    struct fuse_ir ir = {.arena = arena};
    struct fuse_plan plan = {.arena = arena, .ir = &ir};
    struct fuse_error err = {0};
    bool same = false;
    fuse_ir_pack(&in, &ir, probed);
    if (!in.has_failed && fuse_ir_verify(&ir, &err) == FUSE_OK) {
        fuse_plan_pack(&in, &plan);
        if (fuse_pack_is_done(&in) && fuse_plan_check(&plan, &err) == FUSE_OK) {
            fuse_ir_pack(&out, &ir, probed);
            fuse_plan_pack(&out, &plan);
            same = fuse_pack_is_done(&out) && out.bytes == written->bytes - head_bytes &&
                   memcmp(out.at, written->at + head_bytes, out.bytes) == 0;
        }
    }
    fuse_arena_close(arena);
    return same;
}

/* NULL, or why the program cannot be kept. */
static const char *make_entry(struct fuse_pack *pack, struct loading *l) {
    struct fuse_dist_program *program = l->program;
    struct fuse_probed probed = probed_sources(program);
    write_head(pack, l);
    size_t head_bytes = pack->bytes;
    fuse_ir_pack(pack, &program->ir, &probed);
    fuse_plan_pack(pack, program->plan);
    return fuse_pack_is_done(pack) && reads_back(pack, head_bytes, &probed)
               ? NULL
               : "this program has something that cannot be kept";
}

const char *fuse_api_make_entry(struct fuse_pack *pack, struct fuse_dist_program *program) {
    struct loading l;
    return prepare(&l, program) ? make_entry(pack, &l) : "this build has no identity";
}

/* Rank 0. NULL, or why nothing was kept. */
static const char *write_entry(struct loading *l) {
    struct fuse_dist_program *program = l->program;
    struct fuse_arena *arena = program->arena;
    struct fuse_pack pack = fuse_pack_writer(arena);
    const char *why = make_entry(&pack, l);
    return why ? why : fuse_api_write_entry(arena, program->options.cache, l->path, &pack);
}

static void note(struct fuse_dist_program *program, const char *what, const char *path, const char *why) {
    fuse_report(&program->diagnostics, FUSE_SEVERITY_NOTE, FUSE_NO_SPAN, "%s %s: %s", what, path, why);
    fuse_api_add_event(program, "cache", "%s %s: %s", what, path, why);
}

enum fuse_status fuse_api_keep_plan(struct fuse_dist_program *program, struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    struct loading l;
    char why[300] = "";
    if (program->pack_complaint)
        note(program, "the program is planned anew, and not as in", program->path, program->pack_complaint);
    if (!program->options.cache)
        return FUSE_OK;
    if (!prepare(&l, program)) {
        if (program->cache_key)
            note(program, "no plan is kept in", program->options.cache, "this build has no identity");
        return FUSE_OK;
    }
    if (comm->rank == 0) {
        const char *failure = write_entry(&l);
        snprintf(why, sizeof why, "%s", failure ? failure : "");
    }
    FUSE_TRY(comm->ops->broadcast(comm, why, sizeof why, 0, err));
    if (program->cache_complaint)
        note(program, "made the plan anew and ignored", l.path, program->cache_complaint);
    if (why[0])
        note(program, "the plan is not kept in", l.path, why);
    else
        fuse_api_add_event(program, "cache", "the plan was made, and is kept in %s", l.path);
    return FUSE_OK;
}
