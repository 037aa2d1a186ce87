#include "api/cache.h"
#include "api/packed.h"
#include "core/hash.h"
#include "io/bundle.h"
#include "io/json_document.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = INT_MAX - 1, WORDS = sizeof((struct fuse_api_packed *)NULL)->word / sizeof(const char *) };
#define MAX_TEXT_BYTES ((int64_t)1 << 30)

bool fuse_api_is_pack(const char *path) {
    size_t bytes = strlen(path), suffix = strlen(FUSE_API_PACK_SUFFIX);
    return bytes > suffix && strcasecmp(path + bytes - suffix, FUSE_API_PACK_SUFFIX) == 0;
}

/* ---- the manifest, on rank 0 ---- */

struct reading {
    struct fuse_api_packed *out;
    struct fuse_bundle bundle;
    struct fuse_document doc;
};

static enum fuse_status get_digest(uint64_t *out, struct reading *r, const struct fuse_document_value *object,
                                   struct fuse_error *err) {
    const char *text = NULL;
    FUSE_TRY(fuse_document_get_string(&text, &r->doc, object, "digest", true, err));
    char *end;
    errno = 0;
    *out = strtoull(text, &end, 16);
    if (errno || *end || strlen(text) != 16)
        return fuse_document_fail(&r->doc, object, err, "'digest' is no digest");
    return FUSE_OK;
}

static enum fuse_status get_file(struct fuse_program_file *out, struct reading *r,
                                 const struct fuse_document_value *object, struct fuse_error *err) {
    const char *member = NULL;
    uint64_t digest;
    *out = (struct fuse_program_file){0};
    FUSE_TRY(fuse_document_expect(&r->doc, object, FUSE_DOCUMENT_OBJECT, "a file of a pack", err));
    FUSE_TRY(fuse_document_get_string(&out->path, &r->doc, object, "path", true, err));
    FUSE_TRY(fuse_document_get_string(&member, &r->doc, object, "member", true, err));
    FUSE_TRY(get_digest(&digest, r, object, err));
    FUSE_TRY(fuse_bundle_read(&out->text, &out->bytes, &r->bundle, member, MAX_TEXT_BYTES, err));
    if (fuse_hash_bytes(FUSE_HASH_SEED, out->text, out->bytes) != digest)
        return fuse_fail(err, FUSE_EINPUT, "%s: member '%s' is not what was packed", r->bundle.path, member);
    return FUSE_OK;
}

static enum fuse_status get_lookup(struct fuse_api_lookup *out, struct reading *r,
                                   const struct fuse_document_value *object, struct fuse_error *err) {
    int64_t from = 0, file = 0, most = r->out->files.n - 1;
    *out = (struct fuse_api_lookup){0};
    FUSE_TRY(fuse_document_expect(&r->doc, object, FUSE_DOCUMENT_OBJECT, "an import of a pack", err));
    FUSE_TRY(fuse_document_get_integer(&from, &r->doc, object, "from", 0, most, true, err));
    FUSE_TRY(fuse_document_get_integer(&file, &r->doc, object, "file", 0, most, true, err));
    out->from = (int)from;
    out->file = (int)file;
    return fuse_document_get_string(&out->text, &r->doc, object, "text", true, err);
}

static enum fuse_status get_pair(struct fuse_dist_define *out, struct reading *r,
                                 const struct fuse_document_value *object, struct fuse_error *err) {
    *out = (struct fuse_dist_define){0};
    FUSE_TRY(fuse_document_expect(&r->doc, object, FUSE_DOCUMENT_OBJECT, "an option of a pack", err));
    FUSE_TRY(fuse_document_get_string(&out->name, &r->doc, object, "name", true, err));
    return fuse_document_get_string(&out->value, &r->doc, object, "value", true, err);
}

static enum fuse_status get_data(struct fuse_api_packed_data *out, struct reading *r,
                                 const struct fuse_document_value *object, struct fuse_error *err) {
    int64_t beside = -1;
    *out = (struct fuse_api_packed_data){.beside = -1};
    FUSE_TRY(fuse_document_expect(&r->doc, object, FUSE_DOCUMENT_OBJECT, "a source of a pack", err));
    FUSE_TRY(fuse_document_get_integer(&beside, &r->doc, object, "beside", 0, MOST, false, err));
    out->beside = (int)beside;
    FUSE_TRY(fuse_document_get_string(&out->path, &r->doc, object, "path", true, err));
    FUSE_TRY(fuse_document_get_string(&out->member, &r->doc, object, "member", false, err));
    if (out->member)
        return get_digest(&out->digest, r, object, err);
    return fuse_document_get_string(&out->at, &r->doc, object, "at", true, err);
}

static enum fuse_status get_source(struct fuse_api_packed_source *out, struct reading *r,
                                   const struct fuse_document_value *object, struct fuse_error *err) {
    *out = (struct fuse_api_packed_source){0};
    FUSE_TRY(fuse_document_expect(&r->doc, object, FUSE_DOCUMENT_OBJECT, "a source of a pack", err));
    FUSE_TRY(fuse_document_get_string(&out->text, &r->doc, object, "text", true, err));
    return get_digest(&out->probe, r, object, err);
}

static enum fuse_status get_query(const char **out, struct reading *r, const struct fuse_document_value *value,
                                  struct fuse_error *err) {
    FUSE_TRY(fuse_document_expect(&r->doc, value, FUSE_DOCUMENT_STRING, "a query of a pack", err));
    *out = value->string;
    return FUSE_OK;
}

/* Every member of the list `name` of an object, by one of the functions above. */
#define GET_LIST(r, object, name, list, type, get)                                                   \
    do {                                                                                             \
        const struct fuse_document_value *list_ = NULL;                                              \
        FUSE_TRY(fuse_document_get(&list_, &(r)->doc, object, name, FUSE_DOCUMENT_LIST, true, err)); \
        for (const struct fuse_document_value *at_ = list_->first; at_; at_ = at_->next) {           \
            type one_;                                                                               \
            FUSE_TRY(get(&one_, r, at_, err));                                                       \
            fuse_vec_push((r)->bundle.arena, &(list), one_);                                         \
        }                                                                                            \
    } while (0)

static enum fuse_status get_options(struct reading *r, const struct fuse_document_value *root, struct fuse_error *err) {
    static const char *const name[] = {"precision", "validate", "projection", "mode", "weights", "tol", "rtol"};
    const struct fuse_document_value *options = NULL;
    struct fuse_api_packed *out = r->out;
    FUSE_TRY(fuse_document_get(&options, &r->doc, root, "options", FUSE_DOCUMENT_OBJECT, true, err));
    for (int i = 0; i < WORDS; i++)
        FUSE_TRY(fuse_document_get_string(&out->word[i], &r->doc, options, name[i], false, err));
    FUSE_TRY(fuse_document_get_integer(&out->samples, &r->doc, options, "samples", 0, MOST, true, err));
    FUSE_TRY(fuse_document_get_integer(&out->seed, &r->doc, options, "seed", 0, MOST, true, err));
    FUSE_TRY(fuse_document_get_bool(&out->strict, &r->doc, options, "werror", true, err));
    GET_LIST(r, options, "define", out->defines, struct fuse_dist_define, get_pair);
    FUSE_TRY(fuse_document_get_bool(&out->weights_anywhere, &r->doc, options, "weights_anywhere", true, err));
    GET_LIST(r, options, "input", out->inputs, struct fuse_dist_define, get_pair);
    GET_LIST(r, options, "adapter", out->adapters, struct fuse_dist_define, get_pair);
    GET_LIST(r, options, "query", out->queries, const char *, get_query);
    return FUSE_OK;
}

static enum fuse_status read_manifest(struct reading *r, struct fuse_error *err) {
    static const char *const keys[] = {"schema",  "version",        "fuse_dist", "ranks", "files",
                                       "imports", "policy",         "options",   "data",  "sources",
                                       "weights", "weights_folder", NULL};
    struct fuse_arena *arena = r->bundle.arena;
    struct fuse_api_packed *out = r->out;
    const struct fuse_document_value *policy = NULL, *weights = NULL;
    const char *text, *schema = NULL, *name = fuse_arena_printf(arena, "%s:manifest.json", r->bundle.path);
    size_t bytes;
    int64_t version;
    FUSE_TRY(fuse_bundle_read(&text, &bytes, &r->bundle, "manifest.json", (int64_t)16 << 20, err));
    FUSE_TRY(fuse_document_parse(&r->doc, arena, text, bytes, name, (struct fuse_document_limits){0}, err));
    const struct fuse_document_value *root = r->doc.root;
    FUSE_TRY(fuse_document_expect(&r->doc, root, FUSE_DOCUMENT_OBJECT, "a pack", err));
    FUSE_TRY(fuse_document_known(&r->doc, root, keys, "a pack", err));
    FUSE_TRY(fuse_document_get_string(&schema, &r->doc, root, "schema", true, err));
    FUSE_TRY(fuse_document_get_integer(&version, &r->doc, root, "version", 1, 1, true, err));
    if (strcmp(schema, "fuse.pack") != 0)
        return fuse_document_fail(&r->doc, root, err, "this is no pack of a program");
    GET_LIST(r, root, "files", out->files, struct fuse_program_file, get_file);
    if (out->files.n == 0)
        return fuse_document_fail(&r->doc, root, err, "this pack has no program");
    GET_LIST(r, root, "imports", out->lookups, struct fuse_api_lookup, get_lookup);
    FUSE_TRY(fuse_document_get(&policy, &r->doc, root, "policy", FUSE_DOCUMENT_OBJECT, false, err));
    if (policy)
        FUSE_TRY(get_file(&out->policy, r, policy, err));
    FUSE_TRY(fuse_document_get(&weights, &r->doc, root, "weights", FUSE_DOCUMENT_OBJECT, false, err));
    if (weights)
        FUSE_TRY(get_file(&out->weights, r, weights, err));
    FUSE_TRY(fuse_document_get_string(&out->weights_folder, &r->doc, root, "weights_folder", weights != NULL, err));
    FUSE_TRY(get_options(r, root, err));
    GET_LIST(r, root, "data", out->data, struct fuse_api_packed_data, get_data);
    GET_LIST(r, root, "sources", out->sources, struct fuse_api_packed_source, get_source);
    return FUSE_OK;
}

/* A pack without a plan, or with a bad one, is planned. */
static void read_plan(struct reading *r) {
    struct fuse_error ignored = {0};
    const char *at;
    size_t bytes;
    if (fuse_bundle_read(&at, &bytes, &r->bundle, "plan", MAX_TEXT_BYTES, &ignored) != FUSE_OK)
        return;
    r->out->plan = (const unsigned char *)at;
    r->out->plan_bytes = bytes;
}

static enum fuse_status read_pack(struct fuse_api_packed *out, struct fuse_dist_program *program,
                                  struct fuse_error *err) {
    struct reading r = {.out = out};
    FUSE_TRY(fuse_bundle_open(&r.bundle, program->arena, program->path, err));
    enum fuse_status st = read_manifest(&r, err);
    if (st == FUSE_OK)
        read_plan(&r);
    fuse_bundle_close(&r.bundle);
    return st;
}

/* ---- for all ranks ---- */

static void share_file(struct fuse_pack *pack, struct fuse_program_file *file) {
    const void *text = file->text;
    fuse_pack_string(pack, &file->path);
    fuse_pack_bytes(pack, &text, &file->bytes);
    file->text = text;
}

static void share_pair(struct fuse_pack *pack, struct fuse_dist_define *pair) {
    fuse_pack_string(pack, &pair->name);
    fuse_pack_string(pack, &pair->value);
}

static void share_lookup(struct fuse_pack *pack, struct fuse_api_lookup *lookup) {
    fuse_pack_string(pack, &lookup->text);
    FUSE_PACK(pack, lookup->from, 0, MOST);
    FUSE_PACK(pack, lookup->file, 0, MOST);
}

static void share_data(struct fuse_pack *pack, struct fuse_api_packed_data *data) {
    fuse_pack_string(pack, &data->path);
    fuse_pack_string(pack, &data->member);
    fuse_pack_uint64(pack, &data->digest);
    FUSE_PACK(pack, data->beside, -1, MOST);
    fuse_pack_string(pack, &data->at);
}

static void share_source(struct fuse_pack *pack, struct fuse_api_packed_source *source) {
    fuse_pack_string(pack, &source->text);
    fuse_pack_uint64(pack, &source->probe);
}

#define SHARE_LIST(pack, list, type, share)                         \
    do {                                                            \
        int count_ = (list).n;                                      \
        fuse_pack_count((pack), &count_, MOST, 1);                  \
        for (int i_ = 0; i_ < count_; i_++) {                       \
            if ((pack)->is_reading)                                 \
                fuse_vec_push((pack)->arena, &(list), ((type){0})); \
            share((pack), &(list).at[i_]);                          \
        }                                                           \
    } while (0)

static void share_contents(struct fuse_pack *pack, struct fuse_api_packed *packed) {
    SHARE_LIST(pack, packed->files, struct fuse_program_file, share_file);
    SHARE_LIST(pack, packed->lookups, struct fuse_api_lookup, share_lookup);
    share_file(pack, &packed->policy);
    share_file(pack, &packed->weights);
    fuse_pack_string(pack, &packed->weights_folder);
    fuse_pack_bool(pack, &packed->weights_anywhere);
    for (int i = 0; i < WORDS; i++)
        fuse_pack_string(pack, &packed->word[i]);
    fuse_pack_int64(pack, &packed->samples);
    fuse_pack_int64(pack, &packed->seed);
    fuse_pack_bool(pack, &packed->strict);
    SHARE_LIST(pack, packed->defines, struct fuse_dist_define, share_pair);
    SHARE_LIST(pack, packed->inputs, struct fuse_dist_define, share_pair);
    SHARE_LIST(pack, packed->adapters, struct fuse_dist_define, share_pair);
    SHARE_LIST(pack, packed->queries, const char *, fuse_pack_string);
    SHARE_LIST(pack, packed->data, struct fuse_api_packed_data, share_data);
    SHARE_LIST(pack, packed->sources, struct fuse_api_packed_source, share_source);
}

/* Collective. */
static enum fuse_status share_pack(struct fuse_api_packed *packed, struct fuse_dist_program *program,
                                   struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    struct fuse_pack out = fuse_pack_writer(program->arena);
    if (comm->rank == 0)
        share_contents(&out, packed);
    int64_t bytes = (int64_t)out.bytes;
    FUSE_TRY(comm->ops->broadcast(comm, &bytes, sizeof bytes, 0, err));
    void *at = comm->rank == 0 ? out.at : fuse_arena_alloc(program->arena, (size_t)bytes);
    FUSE_TRY(comm->ops->broadcast(comm, at, (size_t)bytes, 0, err));
    if (comm->rank == 0)
        return FUSE_OK;
    struct fuse_pack in = fuse_pack_reader(program->arena, at, (size_t)bytes);
    share_contents(&in, packed);
    return fuse_pack_is_done(&in) ? FUSE_OK : fuse_fail(err, FUSE_EBUG, "%s was not shared whole", program->path);
}

/* ---- unpacking: one rank a node ---- */

static void tell_temporary(const struct fuse_dist_program *program, const char *path, int exists) {
    if (program->options.temporary)
        program->options.temporary(program->options.context, path, exists);
}

static enum fuse_status unpack(struct fuse_api_packed *packed, struct fuse_dist_program *program,
                               struct fuse_error *err) {
    struct fuse_bundle bundle;
    tell_temporary(program, packed->folder, 1);
    if (mkdir(packed->folder, 0700) != 0) {
        tell_temporary(program, packed->folder, 0);
        fuse_fail(err, FUSE_EOUTPUT, "cannot make the folder %s for sources of the pack: %s", packed->folder,
                  strerror(errno));
        fuse_hint(err, "TMPDIR names the folder that it is made in");
        return FUSE_EOUTPUT;
    }
    packed->unpacks = true;
    FUSE_TRY(fuse_bundle_open(&bundle, program->arena, program->path, err));
    enum fuse_status st = FUSE_OK;
    for (int i = 0; i < packed->data.n && st == FUSE_OK; i++) {
        const struct fuse_api_packed_data *data = &packed->data.at[i];
        if (!data->member)
            continue;
        tell_temporary(program, data->at, 1);
        st = fuse_bundle_extract(&bundle, data->member, data->digest, data->at, err);
    }
    fuse_bundle_close(&bundle);
    return st;
}

/* Sources of a program lie where all ranks see them; those of a pack in a folder of each node's own. */
static enum fuse_status place_data(struct fuse_api_packed *packed, struct fuse_dist_program *program,
                                   struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    unsigned char token[8] = {0};
    char host[65] = "";
    bool is_any = false;
    enum fuse_status st = FUSE_OK;
    if (comm->rank == 0 && getrandom(token, sizeof token, 0) != (ssize_t)sizeof token)
        st = fuse_fail(err, FUSE_EFAILED, "the system has no random numbers for a folder's name");
    FUSE_TRY(fuse_agree(comm, st, err));
    FUSE_TRY(comm->ops->broadcast(comm, token, sizeof token, 0, err));
    gethostname(host, sizeof host - 1);
    const char *scratch = program->options.scratch ? program->options.scratch : "/tmp";
    packed->folder =
        fuse_arena_printf(program->arena, "%s/fuse-pack-%02x%02x%02x%02x%02x%02x%02x%02x-%s", scratch, token[0],
                          token[1], token[2], token[3], token[4], token[5], token[6], token[7], host);
    for (int i = 0; i < packed->data.n; i++) {
        struct fuse_api_packed_data *data = &packed->data.at[i];
        const char *slash = strrchr(data->path, '/');
        if (data->member)
            data->at = fuse_arena_printf(program->arena, "%s/%d-%s", packed->folder,
                                         data->beside >= 0 ? data->beside : i, slash ? slash + 1 : data->path);
        is_any |= data->member != NULL;
    }
    if (!is_any)
        packed->folder = NULL;
    if (is_any && program->job->local_rank == 0)
        st = unpack(packed, program, err);
    return fuse_agree(comm, st, err);
}

void fuse_api_close_pack(struct fuse_dist_program *program) {
    struct fuse_api_packed *packed = program->packed;
    if (!packed || !packed->unpacks)
        return;
    for (int i = 0; i < packed->data.n; i++) {
        if (!packed->data.at[i].member)
            continue;
        unlink(packed->data.at[i].at);
        tell_temporary(program, packed->data.at[i].at, 0);
    }
    rmdir(packed->folder);
    tell_temporary(program, packed->folder, 0);
    packed->unpacks = false;
}

/* ---- options, sources ---- */

/* Those of the pack, unless the user names them. */
static void join_pairs(struct fuse_arena *arena, const struct fuse_dist_define **pair, int *pairs,
                       const struct fuse_dist_define *packed, int n) {
    struct fuse_dist_define *all = FUSE_NEW_ARRAY(arena, struct fuse_dist_define, *pairs + n);
    int count = 0;
    for (int i = 0; i < n; i++) {
        bool is_given = false;
        for (int k = 0; k < *pairs; k++)
            is_given |= strcmp((*pair)[k].name, packed[i].name) == 0;
        if (!is_given)
            all[count++] = packed[i];
    }
    for (int k = 0; k < *pairs; k++)
        all[count++] = (*pair)[k];
    *pair = all;
    *pairs = count;
}

static void take_options(struct fuse_dist_program *program, struct fuse_api_packed *packed) {
    struct fuse_dist_options *o = &program->options;
    const char **word[WORDS] = {&o->precision, &o->validate, &o->projection, &o->mode, &o->weights, &o->tol, &o->rtol};
    if (o->weights)
        packed->weights.path = NULL;
    if (!o->projection) {
        o->samples = packed->samples;
        o->seed = packed->seed;
    }
    for (int i = 0; i < WORDS; i++)
        if (!*word[i])
            *word[i] = packed->word[i];
    o->warnings_are_errors |= packed->strict;
    join_pairs(program->arena, &o->define, &o->defines, packed->defines.at, packed->defines.n);
    o->weights_anywhere |= packed->weights_anywhere;
    join_pairs(program->arena, &o->input, &o->inputs, packed->inputs.at, packed->inputs.n);
    join_pairs(program->arena, &o->adapter, &o->adapters, packed->adapters.at, packed->adapters.n);
    if (o->queries == 0) {
        o->query = packed->queries.at;
        o->queries = packed->queries.n;
    }
    if (!o->policy && packed->policy.path) {
        o->policy = packed->policy.path;
        program->policy_file = packed->policy;
    }
}

enum fuse_status fuse_api_open_pack(struct fuse_program_file *file, struct fuse_dist_program *program,
                                    struct fuse_error *err) {
    struct fuse_comm *comm = program->job->comm;
    struct fuse_api_packed *packed = FUSE_NEW(program->arena, struct fuse_api_packed);
    enum fuse_status st = comm->rank == 0 ? read_pack(packed, program, err) : FUSE_OK;
    if (st == FUSE_EINPUT)
        fuse_hint(err, "make the pack again: fuse-dist pack PROG -o FILE.pack");
    FUSE_TRY(fuse_agree(comm, st, err));
    FUSE_TRY(fuse_agree(comm, share_pack(packed, program, err), err));
    program->packed = packed;
    take_options(program, packed);
    FUSE_TRY(place_data(packed, program, err));
    *file = packed->files.at[0];
    return FUSE_OK;
}

const char *fuse_api_packed_path(const struct fuse_dist_program *program, const char *path, const char *otherwise) {
    for (int i = 0; program->packed && i < program->packed->data.n; i++)
        if (strcmp(program->packed->data.at[i].path, path) == 0)
            return program->packed->data.at[i].at;
    return otherwise;
}

void fuse_api_check_packed(struct fuse_dist_program *program) {
    for (int i = 0; program->packed && i < program->sources.list.n; i++) {
        struct fuse_source_request *source = &program->sources.list.at[i];
        for (int k = 0; k < program->packed->sources.n && source->probed; k++) {
            const struct fuse_api_packed_source *known = &program->packed->sources.at[k];
            if (strcmp(known->text, source->text) != 0 ||
                known->probe == fuse_api_probe_digest(program->arena, &source->probe))
                continue;
            source->probed = false;
            source->failed = true;
            struct fuse_diagnostic *d = fuse_report(&program->diagnostics, FUSE_SEVERITY_ERROR, source->span,
                                                    "'%s' is not the file that was packed with", source->text);
            if (!d)
                continue;
            d->status = FUSE_EINPUT;
            d->hint = "its type, shape or size has changed: pack the program again, or give it the file with --input";
        }
    }
}
