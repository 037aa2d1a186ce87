/* Plans of earlier starts: DIR/plans/KEY.plan holds what a program becomes, from its files to its plan.
 *
 *     magic  bytes of the rest  digest of the rest  |  head: build, key, files, sources, messages  |  IR  |  plan
 *
 * KEY is a digest of the key: the text of the program, the options that change a plan, the request and the build. The key
 * itself is in the entry and compared; so are the texts of imported files and what probes say of the sources. Other
 * folders of DIR are free for other things that are kept. */
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

enum { MAGIC_BYTES = 16, MOST = INT_MAX - 1 };
static const char magic[MAGIC_BYTES + 1] = "fuse-dist plan 1";
#define ENVELOPE_BYTES ((size_t)MAGIC_BYTES + 16)
#define MAX_ENTRY_BYTES ((int64_t)1 << 30)

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
    bool whole = head->build && head->key && head->files.n > 0;
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

static struct fuse_pack pack_probe(struct fuse_arena *arena, const struct fuse_probe *probe) {
    struct fuse_pack pack = fuse_pack_writer(arena);
    struct fuse_probe copy = *probe;
    bool has_tally = probe->tally != NULL;
    fuse_probe_pack(&pack, &copy);
    fuse_pack_bool(&pack, &has_tally);
    if (has_tally) {
        struct fuse_tally tally = *probe->tally;
        fuse_tally_pack(&pack, &tally);
    }
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
                           o->out,
                           o->output_root ? "output root" : NULL};
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
    add_pairs(&pack, o->input, o->inputs);
    add_pairs(&pack, o->define, o->defines);
    fuse_plan_request_pack(&pack, &copy);
    const char *policy = program->policy_file.path;
    const void *rules = program->policy_file.text;
    fuse_pack_string(&pack, &policy);
    if (policy)
        fuse_pack_bytes(&pack, &rules, &program->policy_file.bytes);
    return pack;
}

static const char *entry_path(struct fuse_dist_program *program, const char *build) {
    uint64_t digest = fuse_hash_bytes(FUSE_HASH_SEED, program->cache_key, program->cache_key_bytes);
    digest = fuse_hash_string(digest, build);
    return fuse_arena_printf(program->arena, "%s/plans/%016" PRIx64 ".plan", program->options.cache, digest);
}

/* ---- bytes to an entry ---- */

static uint64_t get64(const unsigned char *at) {
    uint64_t number = 0;
    for (int k = 7; k >= 0; k--)
        number = number << 8 | at[k];
    return number;
}

static void put64(unsigned char *at, uint64_t number) {
    for (int k = 0; k < 8; k++)
        at[k] = (unsigned char)(number >> 8 * k);
}

void fuse_api_seal(unsigned char envelope[FUSE_API_SEAL_BYTES], const struct fuse_pack *pack) {
    memcpy(envelope, magic, MAGIC_BYTES);
    put64(envelope + MAGIC_BYTES, pack->bytes);
    put64(envelope + MAGIC_BYTES + 8, fuse_hash_bytes(FUSE_HASH_SEED, pack->at, pack->bytes));
}

/* NULL, or why the bytes are no entry of ours. */
static const char *open_seal(const unsigned char *at, size_t bytes) {
    if (bytes < ENVELOPE_BYTES || memcmp(at, magic, MAGIC_BYTES) != 0)
        return "it is no plan of this version";
    if (get64(at + MAGIC_BYTES) != bytes - ENVELOPE_BYTES)
        return "it is not complete";
    if (get64(at + MAGIC_BYTES + 8) != fuse_hash_bytes(FUSE_HASH_SEED, at + ENVELOPE_BYTES, bytes - ENVELOPE_BYTES))
        return "it is damaged";
    return NULL;
}

/* Rank 0. NULL bytes without a reason: there is no entry. */
static const unsigned char *read_entry(size_t *bytes, const char **why, struct fuse_arena *arena, const char *path) {
    struct stat status;
    struct fuse_error err = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        *why = errno == ENOENT || errno == ENOTDIR
                   ? NULL
                   : fuse_arena_printf(arena, "it cannot be opened: %s", strerror(errno));
        return NULL;
    }
    unsigned char *at = NULL;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size > MAX_ENTRY_BYTES) {
        *why = "it is no plan of this version";
    } else {
        at = fuse_arena_alloc(arena, (size_t)status.st_size + 1);
        *bytes = (size_t)status.st_size;
        *why =
            fuse_rawfile_read(fd, at, *bytes, 0, path, &err) == FUSE_OK ? open_seal(at, *bytes) : "it cannot be read";
    }
    close(fd);
    return *why ? NULL : at;
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
    const struct fuse_program_file *main = &program->files.list.at[0], *kept = &l->head.files.at[0];
    bool same = main->bytes == kept->bytes && memcmp(main->text, kept->text, kept->bytes) == 0;
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
    l->pack = fuse_pack_reader(l->program->arena, at + ENVELOPE_BYTES, bytes - ENVELOPE_BYTES);
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
        l->why = at ? open_seal(at, *bytes) : "it has none";
    } else {
        at = read_entry(bytes, &l->why, l->program->arena, l->path);
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
    return l->why || !same_files(l) ? NULL : at;
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

static struct fuse_probed probed_sources(struct fuse_dist_program *program) {
    int n = program->sources.list.n;
    struct fuse_probed probed = {.probe = FUSE_NEW_ARRAY(program->arena, const struct fuse_probe *, n + 1), .n = n};
    for (int i = 0; i < n; i++)
        probed.probe[i] = &program->sources.list.at[i].probe;
    return probed;
}

/* Files of the IR are those of the program: sources that were probed, sinks that a program may have. */
static bool has_right_places(struct fuse_dist_program *program) {
    for (int o = 0; o < program->ir.ops.n; o++) {
        const struct fuse_op *op = program->ir.ops.at[o];
        if (op->kind == FUSE_OP_SINK && op->path && !fuse_api_may_write(program, op->path))
            return false;
        if (op->kind != FUSE_OP_SOURCE)
            continue;
        bool is_known = false;
        for (int i = 0; i < program->sources.list.n && !is_known; i++) {
            const struct fuse_source_request *source = &program->sources.list.at[i];
            is_known = strcmp(source->text, op->path) == 0 && source->probe.tally == op->probe.tally &&
                       source->probe.index == op->probe.index;
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

/* Collective. */
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
        FUSE_TRY(use_entry(hit, l, err));
    if (*hit)
        take_rest(l);
    return FUSE_OK;
}

enum fuse_status fuse_api_load_plan(bool *hit, struct fuse_dist_program *program,
                                    const struct fuse_plan_request *request, struct fuse_error *err) {
    struct loading l;
    *hit = false;
    if (program->converted_to || program->perturb || make_cache_key(program, request) != FUSE_OK ||
        !prepare(&l, program))
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
                        .messages = program->messages.at};
    for (int i = 0; i < program->lookups.n; i++)
        fuse_vec_push(arena, &head.lookups, program->lookups.at[i]);
    for (int i = 0; i < program->files.list.n; i++)
        fuse_vec_push(arena, &head.files, program->files.list.at[i]);
    for (int i = 0; i < program->sources.list.n; i++) {
        const struct fuse_source_request *source = &program->sources.list.at[i];
        struct fuse_pack probe = pack_probe(arena, &source->probe);
        struct kept_source kept = {
            .text = source->text, .span = source->span, .probe = probe.at, .probe_bytes = probe.bytes};
        pack->has_failed |= probe.has_failed;
        fuse_vec_push(arena, &head.sources, kept);
    }
    for (int i = 0; i < program->events.n; i++)
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

static const char *make_folder(struct fuse_arena *arena, const char *path) {
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return NULL;
    return fuse_arena_printf(arena, "the folder '%s' cannot be made: %s", path, strerror(errno));
}

static const char *write_file(struct fuse_arena *arena, const char *path, const struct fuse_pack *pack) {
    unsigned char envelope[FUSE_API_SEAL_BYTES];
    char *temporary = fuse_arena_printf(arena, "%s.XXXXXX", path);
    struct fuse_error err = {0};
    int fd = mkstemp(temporary);
    if (fd < 0)
        return fuse_arena_printf(arena, "%s cannot be made: %s", temporary, strerror(errno));
    fuse_api_seal(envelope, pack);
    enum fuse_status st = fuse_rawfile_write(fd, envelope, sizeof envelope, 0, temporary, &err);
    if (st == FUSE_OK)
        st = fuse_rawfile_write(fd, pack->at, pack->bytes, sizeof envelope, temporary, &err);
    mode_t mask = umask(0);
    umask(mask);
    bool fine = st == FUSE_OK && fchmod(fd, 0666 & ~mask) == 0;
    fine = close(fd) == 0 && fine && rename(temporary, path) == 0;
    if (fine)
        return NULL;
    unlink(temporary);
    return err.message[0] ? fuse_arena_printf(arena, "%s", err.message)
                          : fuse_arena_printf(arena, "%s cannot be written: %s", path, strerror(errno));
}

/* NULL, or why the program cannot be kept. */
static const char *make_entry(struct fuse_pack *pack, struct loading *l) {
    struct fuse_dist_program *program = l->program;
    struct fuse_probed probed = probed_sources(program);
    if (program->policy.weights.at)
        return "its weights come from a manifest";
    if (program->symbols)
        return "its ids are those of the symbols in its files";
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
    if (!why)
        why = make_folder(arena, program->options.cache);
    if (!why)
        why = make_folder(arena, fuse_arena_printf(arena, "%s/plans", program->options.cache));
    return why ? why : write_file(arena, l->path, &pack);
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
