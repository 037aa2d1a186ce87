#include "io/vocabulary.h"

#include "core/hash.h"
#include "io/fields.h"
#include "io/json_document.h"
#include "io/rawfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_BYTES = 64 << 20, MOST_VALUES = 1 << 22, SHOWN_BYTES = 60 };

static const char form[] = "a vocabulary is {\"version\": 1, \"items\": [{\"token\": \"a\", \"index\": 0}, ..]}, "
                           "{\"a\": 0, ..} or [\"a\", ..]";

/* ---- from the document ---- */

/* An entry while the document is there. */
struct entry {
    const char *token;
    uint32_t bytes, id;
    uint32_t token_offset, id_offset; /* in the document */
};

struct draft {
    const struct fuse_document *doc;
    struct entry *entry; /* room for all members of the root or of its items */
    int64_t n;
};

static enum fuse_status expect(const struct draft *draft, const struct fuse_document_value *value,
                               enum fuse_document_kind kind, const char *what, struct fuse_error *err) {
    if (value->kind == kind)
        return FUSE_OK;
    fuse_document_fail(draft->doc, value, err, "%s must be %s, not %s", what, fuse_document_kind_text(kind),
                       fuse_document_kind_text(value->kind));
    fuse_hint(err, "%s", form);
    return FUSE_EINPUT;
}

static enum fuse_status check_index(const struct draft *draft, const struct fuse_document_value *value,
                                    struct fuse_error *err) {
    FUSE_TRY(expect(draft, value, FUSE_DOCUMENT_INTEGER, "an index", err));
    if (value->integer >= 0 && value->integer < FUSE_VOCABULARY_MOST)
        return FUSE_OK;
    fuse_document_fail(draft->doc, value, err, "the index %" PRId64, value->integer);
    fuse_hint(err, "indices of tokens are integers from 0 to %" PRId64, FUSE_VOCABULARY_MOST - 1);
    return FUSE_EINPUT;
}

static void add(struct draft *draft, const char *token, uint32_t token_offset, int64_t id, uint32_t id_offset) {
    draft->entry[draft->n++] = (struct entry){token, (uint32_t)strlen(token), (uint32_t)id, token_offset, id_offset};
}

/* ["a", ..] */
static enum fuse_status take_list(struct draft *draft, struct fuse_error *err) {
    for (const struct fuse_document_value *m = draft->doc->root->first; m; m = m->next) {
        FUSE_TRY(expect(draft, m, FUSE_DOCUMENT_STRING, "a token", err));
        add(draft, m->string, m->offset, draft->n, m->offset);
    }
    return FUSE_OK;
}

/* {"a": 0, ..} */
static enum fuse_status take_map(struct draft *draft, struct fuse_error *err) {
    for (const struct fuse_document_value *m = draft->doc->root->first; m; m = m->next) {
        FUSE_TRY(check_index(draft, m, err));
        add(draft, m->key, m->key_offset, m->integer, m->offset);
    }
    return FUSE_OK;
}

static enum fuse_status take_item(struct draft *draft, const struct fuse_document_value *item, struct fuse_error *err) {
    static const char *const keys[] = {"token", "index", NULL};
    const struct fuse_document_value *token = NULL, *index = NULL;
    FUSE_TRY(expect(draft, item, FUSE_DOCUMENT_OBJECT, "an item", err));
    FUSE_TRY(fuse_document_known(draft->doc, item, keys, "an item of a vocabulary", err));
    token = fuse_document_find(item, "token");
    index = fuse_document_find(item, "index");
    if (!token || !index) {
        fuse_document_fail(draft->doc, item, err, "this item has no \"%s\"", token ? "index" : "token");
        fuse_hint(err, "%s", form);
        return FUSE_EINPUT;
    }
    FUSE_TRY(expect(draft, token, FUSE_DOCUMENT_STRING, "a token", err));
    FUSE_TRY(check_index(draft, index, err));
    add(draft, token->string, token->offset, index->integer, index->offset);
    return FUSE_OK;
}

/* {"version": 1, "items": [..]} */
static enum fuse_status take_items(struct draft *draft, const struct fuse_document_value *items,
                                   struct fuse_error *err) {
    static const char *const keys[] = {"version", "items", NULL};
    const struct fuse_document_value *root = draft->doc->root;
    const struct fuse_document_value *version = fuse_document_find(root, "version");
    FUSE_TRY(fuse_document_known(draft->doc, root, keys, "a vocabulary", err));
    if (!version || version->kind != FUSE_DOCUMENT_INTEGER || version->integer != 1) {
        fuse_document_fail(draft->doc, version ? version : root, err,
                           version ? "this version of vocabularies is not known"
                                   : "this vocabulary has no \"version\"");
        fuse_hint(err, "the version that is read is 1, as in {\"version\": 1, \"items\": [..]}");
        return FUSE_EINPUT;
    }
    for (const struct fuse_document_value *m = items->first; m; m = m->next)
        FUSE_TRY(take_item(draft, m, err));
    return FUSE_OK;
}

static enum fuse_status take_root(struct draft *draft, struct fuse_arena *scratch, struct fuse_error *err) {
    const struct fuse_document_value *root = draft->doc->root, *items = NULL;
    if (root->kind == FUSE_DOCUMENT_OBJECT)
        items = fuse_document_find(root, "items");
    if (items && items->kind != FUSE_DOCUMENT_LIST)
        items = NULL;
    if (root->kind != FUSE_DOCUMENT_OBJECT && root->kind != FUSE_DOCUMENT_LIST) {
        fuse_document_fail(draft->doc, root, err, "a vocabulary is an object or a list, not %s",
                           fuse_document_kind_text(root->kind));
        fuse_hint(err, "%s", form);
        return FUSE_EINPUT;
    }
    draft->entry = FUSE_NEW_ARRAY(scratch, struct entry, items ? items->members : root->members);
    if (root->kind == FUSE_DOCUMENT_LIST)
        return take_list(draft, err);
    return items ? take_items(draft, items, err) : take_map(draft, err);
}

/* ---- what stands twice ---- */

static int compare_bytes(const char *a, uint32_t a_bytes, const char *b, uint32_t b_bytes) {
    int order = memcmp(a, b, a_bytes < b_bytes ? a_bytes : b_bytes);
    return order != 0 ? order : (a_bytes > b_bytes) - (a_bytes < b_bytes);
}

static int compare_tokens(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    int order = compare_bytes(x->token, x->bytes, y->token, y->bytes);
    return order != 0 ? order : (x->token_offset > y->token_offset) - (x->token_offset < y->token_offset);
}

static int compare_indices(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->id_offset > y->id_offset) - (x->id_offset < y->id_offset);
}

static int compare_places(const void *a, const void *b) {
    const struct entry *x = a, *y = b;
    return (x->token_offset > y->token_offset) - (x->token_offset < y->token_offset);
}

/* The first in the text that repeats one before it, after sorting; NULL: none. */
static const struct entry *find_token_twice(const struct draft *draft) {
    const struct entry *e = draft->entry, *twice = NULL;
    for (int64_t k = 1; k < draft->n; k++)
        if (compare_bytes(e[k].token, e[k].bytes, e[k - 1].token, e[k - 1].bytes) == 0 &&
            (!twice || e[k].token_offset < twice->token_offset))
            twice = &e[k];
    return twice;
}

static const struct entry *find_index_twice(const struct draft *draft) {
    const struct entry *e = draft->entry, *twice = NULL;
    for (int64_t k = 1; k < draft->n; k++)
        if (e[k].id == e[k - 1].id && (!twice || e[k].id_offset < twice->id_offset))
            twice = &e[k];
    return twice;
}

static enum fuse_status refuse_twice(const struct draft *draft, struct fuse_error *err) {
    const struct fuse_document *doc = draft->doc;
    int line, column;
    qsort(draft->entry, (size_t)draft->n, sizeof *draft->entry, compare_tokens);
    const struct entry *twice = find_token_twice(draft);
    if (twice) {
        fuse_document_place(doc, twice[-1].token_offset, &line, &column);
        fuse_document_fail(doc, &(struct fuse_document_value){.offset = twice->token_offset}, err,
                           "the token %s stands twice, first at %d:%d", fuse_document_shown(doc, twice->token), line,
                           column);
        fuse_hint(err, "a token has one index: keep one of the two");
        return FUSE_EINPUT;
    }
    qsort(draft->entry, (size_t)draft->n, sizeof *draft->entry, compare_indices);
    twice = find_index_twice(draft);
    if (twice) {
        fuse_document_place(doc, twice[-1].id_offset, &line, &column);
        fuse_document_fail(doc, &(struct fuse_document_value){.offset = twice->id_offset}, err,
                           "the index %" PRIu32 " of %s is that of %s at %d:%d", twice->id,
                           fuse_document_shown(doc, twice->token), fuse_document_shown(doc, twice[-1].token), line,
                           column);
        fuse_hint(err, "each token has an index of its own");
        return FUSE_EINPUT;
    }
    qsort(draft->entry, (size_t)draft->n, sizeof *draft->entry, compare_places);
    return FUSE_OK;
}

/* ---- what remains of it ---- */

/* Whether it can stand in a file as a symbol. */
static bool is_symbol(const struct entry *entry) {
    if (fuse_symbol_fault(entry->token, entry->bytes) || strpbrk(entry->token, "\t\n\v\f\r"))
        return false;
    return entry->token[0] != ' ' && entry->token[entry->bytes - 1] != ' ';
}

static void keep(struct fuse_vocabulary *out, struct fuse_arena *arena, const struct draft *draft) {
    size_t bytes = FUSE_FIELD_SLACK;
    for (int64_t k = 0; k < draft->n; k++)
        bytes += draft->entry[k].bytes;
    char *text = fuse_arena_alloc(arena, bytes);
    struct fuse_vocabulary_item *item = FUSE_NEW_ARRAY(arena, struct fuse_vocabulary_item, draft->n);
    for (int64_t k = 0; k < draft->n; k++) {
        const struct entry *entry = &draft->entry[k];
        out->end = entry->id >= out->end ? (int64_t)entry->id + 1 : out->end;
        if (!is_symbol(entry))
            continue;
        memcpy(text, entry->token, entry->bytes);
        item[out->items++] = (struct fuse_vocabulary_item){text, entry->bytes, entry->id};
        text += entry->bytes;
    }
    out->item = item;
}

enum fuse_status fuse_vocabulary_parse(struct fuse_vocabulary *out, struct fuse_arena *arena, const char *text,
                                       size_t bytes, const char *name, struct fuse_error *err) {
    const struct fuse_document_limits limits = {.bytes = MOST_BYTES, .values = MOST_VALUES};
    struct fuse_arena *scratch = fuse_arena_open(NULL);
    struct fuse_vocabulary vocabulary = {.path = name};
    struct fuse_document doc;
    if (!scratch)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", name);
    struct draft draft = {.doc = &doc};
    enum fuse_status st = fuse_document_parse(&doc, scratch, text, bytes, name, limits, err);
    if (st == FUSE_OK)
        st = take_root(&draft, scratch, err);
    if (st == FUSE_OK)
        st = refuse_twice(&draft, err);
    if (st == FUSE_OK) {
        keep(&vocabulary, arena, &draft);
        vocabulary.digest = fuse_hash_bytes(FUSE_HASH_SEED, text, bytes);
        *out = vocabulary;
    }
    fuse_arena_close(scratch);
    return st;
}

/* ---- beside a text ---- */

const char *fuse_vocabulary_path(struct fuse_arena *arena, const char *path) {
    size_t bytes = strlen(path);
    if (bytes >= 3 && strcasecmp(path + bytes - 3, ".gz") == 0)
        bytes -= 3;
    while (bytes > 0 && path[bytes - 1] != '.')
        bytes--;
    return fuse_arena_printf(arena, "%.*svocab.json", (int)bytes, path);
}

static enum fuse_status read_file(struct fuse_vocabulary *out, struct fuse_arena *arena, const char *path,
                                  struct fuse_error *err) {
    int fd;
    int64_t bytes;
    FUSE_TRY(fuse_rawfile_open(&fd, &bytes, path, err));
    if (bytes > MOST_BYTES) {
        close(fd);
        fuse_fail(err, FUSE_EINPUT, "%s has %" PRId64 " bytes; a vocabulary has %d at most", path, bytes, MOST_BYTES);
        fuse_hint(err, "%s", form);
        return FUSE_EINPUT;
    }
    char *text = malloc((size_t)bytes + 1);
    enum fuse_status st = text ? fuse_rawfile_read(fd, text, (size_t)bytes, 0, path, err)
                               : fuse_fail(err, FUSE_EMEMORY, "no memory to read %s", path);
    close(fd);
    if (st == FUSE_OK)
        st = fuse_vocabulary_parse(out, arena, text, (size_t)bytes, path, err);
    free(text);
    return st;
}

enum fuse_status fuse_vocabulary_find(const struct fuse_vocabulary **out, struct fuse_arena *arena,
                                      struct fuse_comm *comm, const char *text_path, struct fuse_error *err) {
    const char *path = fuse_vocabulary_path(arena, text_path);
    struct fuse_vocabulary *read = FUSE_NEW(arena, struct fuse_vocabulary);
    enum fuse_status st = FUSE_OK;
    struct stat about;
    /* Whatever is there and cannot be read is an error, not a text without a vocabulary. */
    if (comm->rank == 0 && (lstat(path, &about) == 0 || (errno != ENOENT && errno != ENAMETOOLONG)))
        st = read_file(read, arena, path, err);
    FUSE_TRY(fuse_agree(comm, st, err));
    int64_t facts[] = {read->path != NULL, read->items, read->end, (int64_t)read->digest};
    FUSE_TRY(comm->ops->broadcast(comm, facts, sizeof facts, 0, err));
    *read = (struct fuse_vocabulary){
        .path = path, .items = facts[1], .end = facts[2], .digest = (uint64_t)facts[3], .item = read->item};
    *out = facts[0] ? read : NULL;
    return FUSE_OK;
}

/* ---- several of them ---- */

struct claim {
    const struct fuse_vocabulary_item *item;
    const char *path;
    int vocabulary;
};

static int compare_claimed_tokens(const void *a, const void *b) {
    const struct claim *x = a, *y = b;
    int order = compare_bytes(x->item->token, x->item->bytes, y->item->token, y->item->bytes);
    return order != 0 ? order : x->vocabulary - y->vocabulary;
}

static int compare_claimed_ids(const void *a, const void *b) {
    const struct claim *x = a, *y = b;
    int order = (x->item->id > y->item->id) - (x->item->id < y->item->id);
    return order != 0 ? order : x->vocabulary - y->vocabulary;
}

static int shown(const struct fuse_vocabulary_item *item) {
    return item->bytes < SHOWN_BYTES ? (int)item->bytes : SHOWN_BYTES;
}

static enum fuse_status compare_neighbours(const struct claim *claim, int64_t n, bool by_token,
                                           struct fuse_error *err) {
    for (int64_t k = 1; k < n; k++) {
        const struct fuse_vocabulary_item *a = claim[k - 1].item, *b = claim[k].item;
        bool same_id = a->id == b->id, same_token = compare_bytes(a->token, a->bytes, b->token, b->bytes) == 0;
        if (by_token && same_token && !same_id)
            fuse_fail(err, FUSE_EINPUT, "%s: the token '%.*s' has the index %" PRIu32 ", and in %s %" PRIu32,
                      claim[k].path, shown(b), b->token, b->id, claim[k - 1].path, a->id);
        else if (!by_token && same_id && !same_token)
            fuse_fail(err, FUSE_EINPUT, "%s: the index %" PRIu32 " is that of '%.*s', and in %s that of '%.*s'",
                      claim[k].path, b->id, shown(b), b->token, claim[k - 1].path, shown(a), a->token);
        else
            continue;
        fuse_hint(err, "texts whose tokens an equation aligns have vocabularies that agree; give the index of one of "
                       "them another name");
        return FUSE_EINPUT;
    }
    return FUSE_OK;
}

enum fuse_status fuse_vocabulary_agree(const struct fuse_vocabulary *const *vocabulary, int n, struct fuse_error *err) {
    int64_t all = 0, k = 0;
    for (int v = 0; v < n; v++)
        all += vocabulary[v]->items;
    struct claim *claim = malloc((size_t)(all + 1) * sizeof *claim);
    if (!claim)
        return fuse_fail(err, FUSE_EMEMORY, "no memory to compare vocabularies");
    for (int v = 0; v < n; v++)
        for (int64_t i = 0; i < vocabulary[v]->items; i++)
            claim[k++] = (struct claim){&vocabulary[v]->item[i], vocabulary[v]->path, v};
    qsort(claim, (size_t)all, sizeof *claim, compare_claimed_tokens);
    enum fuse_status st = compare_neighbours(claim, all, true, err);
    if (st == FUSE_OK) {
        qsort(claim, (size_t)all, sizeof *claim, compare_claimed_ids);
        st = compare_neighbours(claim, all, false, err);
    }
    free(claim);
    return st;
}
