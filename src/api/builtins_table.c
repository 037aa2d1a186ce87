#include "api/fuse_dist.h"
#include "lang/builtins.h"

int fuse_dist_builtin(struct fuse_dist_builtin *out, int number) {
    const struct fuse_builtin *row = fuse_builtin_at(number);
    if (!row)
        return 0;
    *out = (struct fuse_dist_builtin){.name = row->name,
                                      .signature = row->signature,
                                      .doc = row->doc,
                                      .group = fuse_builtin_group_title(row->group),
                                      .axes = fuse_builtin_group_axes(row->group),
                                      .type = fuse_builtin_type_text(row->type),
                                      .runs = row->runs,
                                      .differentiable = row->differentiable};
    return 1;
}
