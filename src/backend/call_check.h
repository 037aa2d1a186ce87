/* Checks that every back end makes before it believes a call: a broken rule of backend.h is a BUG of the caller. Local. */
#ifndef FUSE_BACKEND_CALL_CHECK_H
#define FUSE_BACKEND_CALL_CHECK_H

#include "backend/backend.h"

enum fuse_status fuse_contract_check(const struct fuse_contract *call, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_map_check(const struct fuse_map_call *call, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_join_check(const struct fuse_join_call *call, struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_attention_check(const struct fuse_attention_call *call, struct fuse_error *err) FUSE_CHECKED;
/* from may be NULL (clear). */
enum fuse_status fuse_view_check(const struct fuse_view *to, const struct fuse_view *from,
                                 struct fuse_error *err) FUSE_CHECKED;
enum fuse_status fuse_combine_check(enum fuse_reduce op, const struct fuse_view *to, const struct fuse_view *from,
                                    struct fuse_error *err) FUSE_CHECKED;

/* Product of the extents of the indices whose bit in `mask` is set; 1 when there are none. */
int64_t fuse_points(int indices, const int64_t *extent, uint32_t mask);
/* Steps to the next point in C order; false after the last one, at zero again. */
bool fuse_step(int indices, const int64_t *extent, int64_t *at);

/* The dtype in which a map's body gives its value. */
enum fuse_dtype fuse_map_body_dtype(const struct fuse_map_call *call);

#endif
