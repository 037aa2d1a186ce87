/* A policy's document, section by section. Every complaint is about one place; reading goes on with the next key. */
#include "api/policy.h"
#include "io/json_document.h"

#include <limits.h>
#include <string.h>

#define MAX_RANKS (1 << 20)
#define WIDEST_DIMENSION 61 /* ranks that one step of a reduction may join */

struct reader {
    struct fuse_arena *arena;
    struct fuse_diagnostics *diagnostics;
    struct fuse_policy *policy;
    const struct fuse_files *files;
    int file;
};

/* ---- the document ---- */

static const char *skip_string(const char *at, const char *end) {
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at < end ? at + 1 : end;
}

/* A string, number or word as it stands; of a list or an object the bracket. */
static struct fuse_span token_span(const struct reader *r, uint32_t offset) {
    const struct fuse_program_file *file = &r->files->list.at[r->file];
    const char *begin = file->text + offset, *end = file->text + file->bytes, *at = begin;
    if (at < end && *at == '"')
        at = skip_string(at, end);
    else if (at < end && (*at == '{' || *at == '['))
        at++;
    else
        while (at < end && !strchr(" \t\r\n,]}", *at))
            at++;
    return (struct fuse_span){.file = r->file, .begin = offset, .end = (uint32_t)(at - file->text)};
}

static struct fuse_span value_span(const struct reader *r, const struct fuse_document_value *node) {
    return token_span(r, node->offset);
}

static struct fuse_span key_span(const struct reader *r, const struct fuse_document_value *node) {
    return token_span(r, node->key_offset);
}

static bool is_string(const struct fuse_document_value *node) {
    return node->kind == FUSE_DOCUMENT_STRING;
}

static bool is_list(const struct fuse_document_value *node) {
    return node->kind == FUSE_DOCUMENT_LIST;
}

static bool is_object(const struct fuse_document_value *node) {
    return node->kind == FUSE_DOCUMENT_OBJECT;
}

/* ---- complaints ---- */

static struct fuse_diagnostic *advise(struct fuse_diagnostic *d, const char *hint) {
    if (d && hint)
        d->hint = hint;
    return d;
}

/* want: "a string", .. */
static void complain_kind(struct reader *r, const struct fuse_document_value *node, const char *want) {
    const char *name = node->key ? node->key : "an item of the list";
    advise(fuse_report(r->diagnostics, FUSE_SEVERITY_ERROR, value_span(r, node), "'%s' must be %s", name, want), NULL);
}

/* The one of the known keys that is the nearest to what was written, or all of them. */
static void complain_key(struct reader *r, const struct fuse_document_value *node, const char *what,
                         const char *const *known) {
    struct fuse_text all = {.arena = r->arena};
    const char *nearest = fuse_document_nearest(node->key, known);
    for (int i = 0; known[i]; i++)
        fuse_text_add(&all, "%s%s", i ? ", " : "", known[i]);
    const char *hint = nearest ? fuse_arena_printf(r->arena, "did you mean '%s'?", nearest)
                               : fuse_arena_printf(r->arena, "its keys are %s", all.at);
    advise(fuse_report(r->diagnostics, FUSE_SEVERITY_ERROR, key_span(r, node), "%s has no key '%s'", what, node->key),
           hint);
}

static void complain_missing(struct reader *r, const struct fuse_document_value *node, const char *what,
                             const char *key) {
    advise(fuse_report(r->diagnostics, FUSE_SEVERITY_ERROR, value_span(r, node), "%s needs the key '%s'", what, key),
           NULL);
}

/* ---- values ---- */

static struct fuse_policy_text key_text(const struct reader *r, const struct fuse_document_value *node) {
    return (struct fuse_policy_text){.at = node->key, .span = key_span(r, node)};
}

static bool read_text(struct reader *r, struct fuse_policy_text *out, const struct fuse_document_value *node,
                      const char *want) {
    if (!is_string(node) || !*node->string) {
        complain_kind(r, node, want);
        return false;
    }
    *out = (struct fuse_policy_text){.at = node->string, .span = value_span(r, node)};
    return true;
}

static bool read_integer(struct reader *r, int64_t *out, const struct fuse_document_value *node, int64_t least,
                         int64_t most, const char *want) {
    if (node->kind != FUSE_DOCUMENT_INTEGER || node->integer < least || node->integer > most) {
        complain_kind(r, node, want);
        return false;
    }
    *out = node->integer;
    return true;
}

static bool read_real(struct reader *r, double *out, const struct fuse_document_value *node, double least,
                      const char *want) {
    bool is_number = node->kind == FUSE_DOCUMENT_INTEGER || node->kind == FUSE_DOCUMENT_REAL;
    if (!is_number || fuse_document_real(node) < least) {
        complain_kind(r, node, want);
        return false;
    }
    *out = fuse_document_real(node);
    return true;
}

/* One of the words, NULL-terminated; want lists them. */
static bool read_word(struct reader *r, struct fuse_policy_text *out, const struct fuse_document_value *node,
                      const char *const *word, const char *want) {
    for (int i = 0; is_string(node) && word[i]; i++)
        if (strcmp(node->string, word[i]) == 0)
            return read_text(r, out, node, want);
    complain_kind(r, node, want);
    return false;
}

/* The members of an object, or none after a complaint. */
static const struct fuse_document_value *members(struct reader *r, const struct fuse_document_value *node,
                                                 const char *want) {
    if (is_object(node))
        return node->first;
    complain_kind(r, node, want);
    return NULL;
}

/* ---- mesh ---- */

static int largest_factor(int64_t n) {
    int largest = 1;
    for (int p = 2; (int64_t)p * p <= n; p++)
        for (; n % p == 0; n /= p)
            largest = p;
    return n > largest ? (int)n : largest;
}

static bool read_size(struct reader *r, int64_t *out, const struct fuse_document_value *node) {
    *out = 0;
    if (is_string(node) && strcmp(node->string, "*") == 0)
        return true;
    if (!read_integer(r, out, node, 1, MAX_RANKS, "a number of ranks, or \"*\" for the rest of them"))
        return false;
    if (largest_factor(*out) <= WIDEST_DIMENSION)
        return true;
    advise(fuse_report(r->diagnostics, FUSE_SEVERITY_ERROR, value_span(r, node),
                       "a mesh dimension of %lld ranks has the prime factor %d", (long long)*out, largest_factor(*out)),
           NULL);
    return false;
}

static void read_mesh(struct reader *r, const struct fuse_document_value *node) {
    struct fuse_policy *policy = r->policy;
    const struct fuse_document_value *rest = NULL;
    policy->mesh_span = value_span(r, node);
    for (const struct fuse_document_value *at =
             members(r, node, "an object of names and sizes: {\"data\": 2, \"model\": \"*\"}");
         at; at = at->next) {
        struct fuse_policy_mesh dim = {.name = at->key, .span = key_span(r, at)};
        if (policy->mesh.n == FUSE_POLICY_MESH_MAX) {
            complain_kind(r, node, "of at most 16 dimensions");
            return;
        }
        if (!*at->key || strcmp(at->key, "*") == 0)
            complain_kind(r, node, "an object whose keys are names");
        if (!read_size(r, &dim.size, at))
            continue;
        if (dim.size == 0 && rest) {
            struct fuse_diagnostic *d = fuse_report(r->diagnostics, FUSE_SEVERITY_ERROR, value_span(r, at),
                                                    "two dimensions of the mesh take the rest of the ranks");
            if (advise(d, NULL)) {
                d->other = value_span(r, rest);
                d->other_message = "the other one is here";
            }
        }
        rest = dim.size == 0 ? at : rest;
        fuse_vec_push(r->arena, &policy->mesh, dim);
    }
}

/* ---- sharding ---- */

static int find_dimension(const struct fuse_policy *policy, const char *name) {
    for (int i = 0; i < policy->mesh.n; i++)
        if (strcmp(policy->mesh.at[i].name, name) == 0)
            return i;
    return -1;
}

static const char *list_dimensions(struct reader *r) {
    struct fuse_text all = {.arena = r->arena};
    if (r->policy->mesh.n == 0)
        return "the key \"mesh\" names dimensions: {\"data\": 2, \"model\": 4}; \"*\" means all ranks without it";
    for (int i = 0; i < r->policy->mesh.n; i++)
        fuse_text_add(&all, "%s%s", i ? ", " : "its dimensions are ", r->policy->mesh.at[i].name);
    return all.at;
}

const char *fuse_policy_shared_dimension(const struct fuse_policy *policy, const struct fuse_policy_split *a,
                                         const struct fuse_policy_split *b) {
    if ((a->all && (b->all || b->dims > 0)) || (b->all && a->dims > 0))
        return b->all ? "*" : policy->mesh.at[b->dim[0]].name;
    for (int i = 0; i < a->dims; i++)
        for (int j = 0; j < b->dims; j++)
            if (a->dim[i] == b->dim[j])
                return policy->mesh.at[b->dim[j]].name;
    return NULL;
}

static bool take_dimension(struct reader *r, struct fuse_policy_split *split, const struct fuse_document_value *node) {
    const char *name = node->string;
    struct fuse_policy_split one = {.all = strcmp(name, "*") == 0, .dim = {find_dimension(r->policy, name)}};
    one.dims = !one.all;
    if (!one.all && one.dim[0] < 0) {
        struct fuse_diagnostic *d = fuse_report(r->diagnostics, FUSE_SEVERITY_ERROR, value_span(r, node),
                                                "the mesh has no dimension '%s'", name);
        advise(d, list_dimensions(r));
        return false;
    }
    if (fuse_policy_shared_dimension(r->policy, split, &one)) {
        struct fuse_diagnostic *d = fuse_report(r->diagnostics, FUSE_SEVERITY_ERROR, value_span(r, node),
                                                "mesh dimension '%s' is used twice by this rule", name);
        if (advise(d, NULL)) {
            d->other = split->span;
            d->other_message = "it is used here already";
        }
        return false;
    }
    split->all = one.all;
    if (!one.all)
        split->dim[split->dims++] = one.dim[0];
    return true;
}

static bool read_split(struct reader *r, struct fuse_policy_sharding *rule, const struct fuse_document_value *node) {
    static const char want[] = "a dimension of the mesh, or a list of them";
    struct fuse_policy_split split = {.axis = key_text(r, node), .span = value_span(r, node)};
    if (rule->splits == FUSE_MAX_AXES) {
        complain_kind(r, node, "one of at most 32 axes");
        return false;
    }
    if (is_string(node)) {
        if (!take_dimension(r, &split, node))
            return false;
    } else if (is_list(node)) {
        for (const struct fuse_document_value *at = node->first; at; at = at->next) {
            if (!is_string(at)) {
                complain_kind(r, at, want);
                return false;
            }
            if (!take_dimension(r, &split, at))
                return false;
        }
    } else {
        complain_kind(r, node, want);
        return false;
    }
    rule->split[rule->splits++] = split;
    return true;
}

static void read_rule(struct reader *r, const struct fuse_document_value *node) {
    static const char *const word[] = {
        [FUSE_POLICY_REPLICATED] = "replicated", [FUSE_POLICY_ROW] = "row", [FUSE_POLICY_COLUMN] = "column"};
    struct fuse_policy_sharding rule = {.pattern = key_text(r, node), .shape = FUSE_POLICY_AXES};
    bool ok = is_object(node);
    for (int i = 0; is_string(node) && i < 3; i++)
        if (strcmp(node->string, word[i]) == 0) {
            rule.shape = (enum fuse_policy_shape)i;
            ok = true;
        }
    if (!ok)
        complain_kind(r, node, "\"row\", \"column\", \"replicated\", or an object of axes: {\"i\": \"data\"}");
    for (const struct fuse_document_value *at = is_object(node) ? node->first : NULL; at; at = at->next)
        ok &= read_split(r, &rule, at);
    if (ok)
        fuse_vec_push(r->arena, &r->policy->sharding, rule);
}

static void read_sharding(struct reader *r, const struct fuse_document_value *node) {
    for (const struct fuse_document_value *at = members(r, node, "an object of tensors and layouts: {\"W*\": \"row\"}");
         at; at = at->next)
        read_rule(r, at);
}

/* ---- paths and switches ---- */

/* Relative to the folder of the document. */
static void read_path(struct reader *r, struct fuse_policy_text *out, const struct fuse_document_value *node) {
    const char *slash = strrchr(r->policy->path, '/');
    if (!read_text(r, out, node, "a path"))
        return;
    if (out->at[0] != '/' && slash && !strstr(out->at, "://"))
        out->at = fuse_arena_printf(r->arena, "%.*s%s", (int)(slash + 1 - r->policy->path), r->policy->path, out->at);
}

static void read_weights(struct reader *r, const struct fuse_document_value *node) {
    read_path(r, &r->policy->weights, node);
}

static void read_output_root(struct reader *r, const struct fuse_document_value *node) {
    read_path(r, &r->policy->output_root, node);
}

static void read_switch(struct reader *r, struct fuse_policy_switch *out, const struct fuse_document_value *node) {
    if (node->kind != FUSE_DOCUMENT_BOOL) {
        complain_kind(r, node, "true or false");
        return;
    }
    *out = (struct fuse_policy_switch){.given = true, .on = node->truth, .span = value_span(r, node)};
}

static void read_strict_weights(struct reader *r, const struct fuse_document_value *node) {
    read_switch(r, &r->policy->strict_weights, node);
}

static void read_strict_mmap(struct reader *r, const struct fuse_document_value *node) {
    read_switch(r, &r->policy->strict_mmap, node);
}

/* ---- quantization ---- */

/* A number, or a list of them. Returns how many, 0 after a complaint. */
static int read_scales(struct reader *r, double **out, const struct fuse_document_value *node) {
    static const char want[] = "a positive number, or a list of them, one a group";
    FUSE_VEC(double) all = {0};
    double one = 0;
    bool ok = true;
    for (const struct fuse_document_value *at = is_list(node) ? node->first : node; at && ok;
         at = at == node ? NULL : at->next) {
        ok = read_real(r, &one, at, 1e-300, want);
        fuse_vec_push(r->arena, &all, one);
    }
    if (ok && all.n == 0)
        complain_kind(r, node, want);
    *out = all.at;
    return ok ? all.n : 0;
}

static int read_zero_points(struct reader *r, int64_t **out, const struct fuse_document_value *node) {
    static const char want[] = "an integer from -128 to 255, or a list of them, one a group";
    FUSE_VEC(int64_t) all = {0};
    int64_t one = 0;
    bool ok = true;
    for (const struct fuse_document_value *at = is_list(node) ? node->first : node; at && ok;
         at = at == node ? NULL : at->next) {
        ok = read_integer(r, &one, at, -128, 255, want);
        fuse_vec_push(r->arena, &all, one);
    }
    if (ok && all.n == 0)
        complain_kind(r, node, want);
    *out = all.at;
    return ok ? all.n : 0;
}

static void read_quantized(struct reader *r, const struct fuse_document_value *node) {
    static const char *const keys[] = {"mode", "dtype", "scale", "zero_point", "group_size", NULL};
    static const char *const modes[] = {"symmetric", "affine", "none", NULL};
    static const char *const dtypes[] = {"int8", "uint8", "int4", NULL};
    struct fuse_policy_quantization rule = {.pattern = key_text(r, node), .span = value_span(r, node)};
    for (const struct fuse_document_value *at =
             members(r, node, "an object: {\"mode\": \"symmetric\", \"dtype\": \"int8\", ..}");
         at; at = at->next) {
        if (strcmp(at->key, "mode") == 0)
            read_word(r, &rule.mode, at, modes, "\"symmetric\", \"affine\" or \"none\"");
        else if (strcmp(at->key, "dtype") == 0)
            read_word(r, &rule.dtype, at, dtypes, "\"int8\", \"uint8\" or \"int4\"");
        else if (strcmp(at->key, "scale") == 0)
            rule.has_scale = (rule.scales = read_scales(r, &rule.scale, at)) > 0;
        else if (strcmp(at->key, "zero_point") == 0)
            rule.has_zero_point = (rule.zero_points = read_zero_points(r, &rule.zero_point, at)) > 0;
        else if (strcmp(at->key, "group_size") == 0)
            rule.has_group_size = read_integer(r, &rule.group_size, at, 1, INT_MAX, "a number of elements");
        else
            complain_key(r, at, "a rule of quantization", keys);
    }
    fuse_vec_push(r->arena, &r->policy->quantization, rule);
}

static void read_quantization(struct reader *r, const struct fuse_document_value *node) {
    r->policy->quantization_given = true;
    r->policy->quantization_span = key_span(r, node);
    for (const struct fuse_document_value *at = members(r, node, "an object of weights and how they are quantised"); at;
         at = at->next)
        read_quantized(r, at);
}

/* ---- lora ---- */

static void read_lora(struct reader *r, const struct fuse_document_value *node) {
    r->policy->lora_given = true;
    r->policy->lora_span = key_span(r, node);
    for (const struct fuse_document_value *at =
             members(r, node, "an object of slots and adapters: {\"style\": \"formal\"}");
         at; at = at->next) {
        struct fuse_policy_lora rule = {.slot = key_text(r, at), .adapter.span = value_span(r, at)};
        if (at->kind == FUSE_DOCUMENT_NULL ||
            read_text(r, &rule.adapter, at, "the name of an adapter, or null for none"))
            fuse_vec_push(r->arena, &r->policy->lora, rule);
    }
}

/* ---- temperatures ---- */

static const char temperature_text[] = "a temperature: a number of at least 0";
static const char step_text[] = "a number of steps below 2^53";
#define MAX_STEPS ((int64_t)1 << 53)

static bool read_linear(struct reader *r, struct fuse_policy_temperature *rule,
                        const struct fuse_document_value *node) {
    static const char *const keys[] = {"schedule", "from", "to", "steps", NULL};
    static const char what[] = "a linear schedule";
    bool ok = true;
    for (const struct fuse_document_value *at = node->first; at; at = at->next) {
        bool known = false;
        for (int k = 0; keys[k]; k++)
            known |= strcmp(at->key, keys[k]) == 0;
        if (!known)
            complain_key(r, at, what, keys);
        ok &= known;
    }
    rule->kind = FUSE_POLICY_LINEAR;
    rule->points = 2;
    rule->point = FUSE_NEW_ARRAY(r->arena, struct fuse_policy_point, 2);
    const struct fuse_document_value *value[3];
    for (int k = 0; k < 3; k++) {
        value[k] = fuse_document_find(node, keys[k + 1]);
        if (!value[k])
            complain_missing(r, node, what, keys[k + 1]);
        ok &= value[k] != NULL;
    }
    return ok && read_real(r, &rule->point[0].temperature, value[0], 0, temperature_text) &&
           read_real(r, &rule->point[1].temperature, value[1], 0, temperature_text) &&
           read_integer(r, &rule->point[1].step, value[2], 1, MAX_STEPS, step_text);
}

static bool read_point(struct reader *r, struct fuse_policy_point *out, const struct fuse_document_value *node,
                       int64_t after) {
    static const char want[] = "a list of a step, later than the one before, and its temperature: [100, 0.5]";
    const struct fuse_document_value *step = is_list(node) ? node->first : NULL, *value = step ? step->next : NULL;
    if (!value || value->next) {
        complain_kind(r, node, want);
        return false;
    }
    return read_integer(r, &out->step, step, after + 1, MAX_STEPS, "a step, later than the one before") &&
           read_real(r, &out->temperature, value, 0, temperature_text);
}

static bool read_piecewise(struct reader *r, struct fuse_policy_temperature *rule,
                           const struct fuse_document_value *node) {
    static const char *const keys[] = {"schedule", "points", NULL};
    const struct fuse_document_value *points = fuse_document_find(node, "points");
    FUSE_VEC(struct fuse_policy_point) list = {0};
    bool ok = true;
    for (const struct fuse_document_value *at = node->first; at; at = at->next)
        if (strcmp(at->key, "schedule") != 0 && at != points) {
            complain_key(r, at, "a piecewise schedule", keys);
            ok = false;
        }
    if (!points) {
        complain_missing(r, node, "a piecewise schedule", "points");
        return false;
    }
    if (!is_list(points) || !points->first) {
        complain_kind(r, points, "a list of points: [[0, 1.0], [100, 0.5]]");
        return false;
    }
    for (const struct fuse_document_value *at = points->first; at && ok; at = at->next) {
        struct fuse_policy_point point;
        ok = read_point(r, &point, at, list.n > 0 ? list.at[list.n - 1].step : -1);
        fuse_vec_push(r->arena, &list, point);
    }
    rule->kind = FUSE_POLICY_PIECEWISE;
    rule->point = list.at;
    rule->points = list.n;
    return ok;
}

static void read_temperature(struct reader *r, const struct fuse_document_value *node) {
    static const char *const words[] = {"linear", "piecewise", NULL};
    struct fuse_policy_temperature rule = {.pattern = key_text(r, node), .span = value_span(r, node)};
    bool ok;
    if (is_object(node)) {
        const struct fuse_document_value *schedule = fuse_document_find(node, "schedule");
        struct fuse_policy_text word;
        if (!schedule) {
            complain_missing(r, node, "a schedule", "schedule");
            return;
        }
        if (!read_word(r, &word, schedule, words, "\"linear\" or \"piecewise\""))
            return;
        ok = strcmp(word.at, "linear") == 0 ? read_linear(r, &rule, node) : read_piecewise(r, &rule, node);
    } else {
        rule.kind = FUSE_POLICY_CONSTANT;
        rule.points = 1;
        rule.point = FUSE_NEW(r->arena, struct fuse_policy_point);
        ok = read_real(r, &rule.point->temperature, node, 0, "a temperature of at least 0, or a schedule");
    }
    if (ok)
        fuse_vec_push(r->arena, &r->policy->temperatures, rule);
}

static void read_temperatures(struct reader *r, const struct fuse_document_value *node) {
    for (const struct fuse_document_value *at = members(r, node, "an object of tensors and temperatures: {\"*\": 0.5}");
         at; at = at->next)
        read_temperature(r, at);
}

/* ---- io ---- */

static void read_chunks(struct reader *r, struct fuse_policy_io *rule, const struct fuse_document_value *node) {
    static const char want[] = "\"auto\", or a list of the extents of a chunk: [256, 256]";
    rule->chunks = key_text(r, node);
    if (is_string(node) && strcmp(node->string, "auto") == 0) {
        rule->chunks_auto = true;
        return;
    }
    for (const struct fuse_document_value *at = is_list(node) ? node->first : NULL; at; at = at->next) {
        if (rule->chunk_rank == FUSE_MAX_AXES) {
            complain_kind(r, node, want);
            return;
        }
        if (!read_integer(r, &rule->chunk[rule->chunk_rank++], at, 1, INT_MAX, "an extent from 1 to 2^31 - 1"))
            return;
    }
    if (rule->chunk_rank == 0)
        complain_kind(r, node, want);
}

static void read_io_rule(struct reader *r, const struct fuse_document_value *node) {
    static const char *const keys[] = {"chunks", "gzip", NULL};
    struct fuse_policy_io rule = {.pattern = key_text(r, node)};
    for (const struct fuse_document_value *at = members(r, node, "an object: {\"chunks\": \"auto\", \"gzip\": 4}"); at;
         at = at->next) {
        int64_t level;
        if (strcmp(at->key, "chunks") == 0) {
            read_chunks(r, &rule, at);
        } else if (strcmp(at->key, "gzip") == 0) {
            rule.gzip = key_text(r, at);
            if (read_integer(r, &level, at, 0, 9, "a level of compression from 1 to 9, or 0 for none"))
                rule.gzip_level = (int)level;
        } else {
            complain_key(r, at, "a rule of io", keys);
        }
    }
    fuse_vec_push(r->arena, &r->policy->io, rule);
}

static void read_io(struct reader *r, const struct fuse_document_value *node) {
    for (const struct fuse_document_value *at =
             members(r, node, "an object of tensors or files and how they are written");
         at; at = at->next)
        read_io_rule(r, at);
}

/* ---- sections ---- */

static const struct {
    const char *key;
    void (*read)(struct reader *r, const struct fuse_document_value *node);
} sections[] = {
    {"mesh", read_mesh}, /* before the rules that name its dimensions */
    {"sharding", read_sharding},
    {"weights", read_weights},
    {"strict_weights", read_strict_weights},
    {"strict_mmap", read_strict_mmap},
    {"quantization", read_quantization},
    {"lora", read_lora},
    {"temperatures", read_temperatures},
    {"output_root", read_output_root},
    {"io", read_io},
};

enum { SECTIONS = sizeof sections / sizeof *sections };

static void read_document(struct reader *r, const struct fuse_document_value *root) {
    const char *known[SECTIONS + 1] = {NULL};
    for (int i = 0; i < SECTIONS; i++) {
        const struct fuse_document_value *node = fuse_document_find(root, sections[i].key);
        known[i] = sections[i].key;
        if (node)
            sections[i].read(r, node);
    }
    for (const struct fuse_document_value *at = root->first; at; at = at->next) {
        bool found = false;
        for (int i = 0; i < SECTIONS; i++)
            found |= strcmp(at->key, sections[i].key) == 0;
        if (!found)
            complain_key(r, at, "a policy", known);
    }
}

enum fuse_status fuse_policy_parse(struct fuse_policy *out, struct fuse_arena *arena, const struct fuse_files *files,
                                   int file, struct fuse_diagnostics *diagnostics, struct fuse_error *err) {
    const struct fuse_program_file *text = &files->list.at[file];
    struct reader r = {.arena = arena, .diagnostics = diagnostics, .policy = out, .files = files, .file = file};
    struct fuse_document document;
    out->path = text->path;
    FUSE_TRY(fuse_document_parse(&document, arena, text->text, text->bytes, text->path,
                                 (struct fuse_document_limits){0}, err));
    FUSE_TRY(fuse_document_expect(&document, document.root, FUSE_DOCUMENT_OBJECT, "a policy", err));
    read_document(&r, document.root);
    return FUSE_OK;
}

/* ---- patterns ---- */

/* The end of a set "[a-c_]" or "[!x]" that begins here, NULL: the bracket stands for itself. */
static const char *end_of_set(const char *at) {
    const char *from = at + 1 + (at[1] == '!');
    const char *end = *from ? strchr(from + 1, ']') : NULL;
    return end ? end + 1 : NULL;
}

static bool is_in_set(const char *at, const char *end, char c) {
    bool negated = at[1] == '!', found = false;
    for (at += 1 + negated; at < end - 1; at++) {
        bool is_range = at + 2 < end - 1 && at[1] == '-';
        found |= is_range ? c >= at[0] && c <= at[2] : c == *at;
        at += is_range ? 2 : 0;
    }
    return found != negated;
}

/* One character against one piece of a pattern; *next is the piece behind it. */
static bool fits_one(const char *at, char c, const char **next) {
    const char *end = *at == '[' ? end_of_set(at) : NULL;
    *next = end ? end : at + 1;
    if (!c || !*at)
        return false;
    return end ? is_in_set(at, end, c) : *at == '?' || *at == c;
}

/* Only the last '*' is ever tried again: time is at most the product of the lengths. (fnmatch takes exponential time.) */
static bool fits(const char *at, const char *name) {
    const char *star = NULL, *again = NULL, *next;
    for (;;) {
        if (*at == '*') {
            star = ++at;
            again = name;
        } else if (fits_one(at, *name, &next)) {
            at = next;
            name++;
        } else if (!*at && !*name) {
            return true;
        } else if (star && *again) {
            at = star;
            name = ++again;
        } else {
            return false;
        }
    }
}

int fuse_policy_fit(const char *pattern, const char *name) {
    int letters = 1;
    if (strcmp(pattern, name) == 0)
        return INT_MAX;
    if (!fits(pattern, name))
        return 0;
    for (const char *at = pattern, *end; *at; at = end) {
        end = *at == '[' ? end_of_set(at) : NULL;
        letters += !end && *at != '*' && *at != '?';
        end = end ? end : at + 1;
    }
    return letters;
}

struct fuse_policy_choice fuse_policy_choose(const void *rules, int n, size_t rule_bytes, const char *name) {
    struct fuse_policy_choice choice = {-1, -1};
    int best = 0;
    for (int i = 0; i < n; i++) {
        const struct fuse_policy_text *pattern = (const void *)((const char *)rules + (size_t)i * rule_bytes);
        int fit = fuse_policy_fit(pattern->at, name);
        if (fit > best)
            choice = (struct fuse_policy_choice){i, -1};
        else if (fit > 0 && fit == best)
            choice.rival = i;
        best = fit > best ? fit : best;
    }
    return choice;
}
