#include "exec/id_names.h"

#include <inttypes.h>
#include <stdlib.h>

static int compare_ids(const void *x, const void *y) {
    const struct fuse_symbol_id *a = x, *b = y;
    if (a->table != b->table)
        return a->table < b->table ? -1 : 1;
    return (a->id > b->id) - (a->id < b->id);
}

void fuse_id_names_want(struct fuse_id_names *names, int table, int64_t id) {
    if (table > 0 && id >= 0)
        fuse_vec_push(names->arena, &names->wanted, ((struct fuse_symbol_id){table - 1, (uint32_t)id}));
}

enum fuse_status fuse_id_names_find(struct fuse_id_names *names, const struct fuse_symbols *symbols,
                                    struct fuse_comm *comm, struct fuse_error *err) {
    struct fuse_symbol_id *wanted = names->wanted.at;
    int n = 0;
    if (!symbols || names->wanted.n == 0)
        return FUSE_OK;
    qsort(wanted, (size_t)names->wanted.n, sizeof *wanted, compare_ids);
    for (int i = 0; i < names->wanted.n; i++)
        if (n == 0 || compare_ids(&wanted[n - 1], &wanted[i]) != 0)
            wanted[n++] = wanted[i];
    names->wanted.n = n;
    enum fuse_status status = fuse_symbols_find(&names->texts, symbols, comm, wanted, comm->rank == 0 ? n : 0, err);
    return fuse_agree(comm, status, err);
}

void fuse_id_names_add(struct fuse_text *text, const struct fuse_id_names *names, int table, int64_t id) {
    const struct fuse_symbol_id key = {table - 1, (uint32_t)id};
    const struct fuse_symbol_id *at = NULL;
    if (table > 0 && names->texts.at)
        at = bsearch(&key, names->wanted.at, (size_t)names->wanted.n, sizeof key, compare_ids);
    if (!at) {
        fuse_text_add(text, "%" PRId64, id);
        return;
    }
    const size_t k = (size_t)(at - names->wanted.at), begin = names->texts.at[k];
    fuse_text_add_json_string(
        text, fuse_arena_strndup(names->arena, names->texts.text + begin, names->texts.at[k + 1] - begin));
}

void fuse_id_names_close(struct fuse_id_names *names) {
    fuse_symbol_texts_close(&names->texts);
}
