/* A plan as a page of HTML that needs nothing else. Local and pure. */
#ifndef FUSE_API_PLAN_PAGE_H
#define FUSE_API_PLAN_PAGE_H

#include "plan/plan.h"

/* The graph of operations with what travels along its edges, where tensors lie on the mesh, memory of a rank over the steps,
 * and the steps with their times. */
void fuse_api_plan_page(struct fuse_text *text, const struct fuse_plan *plan, const char *title);

/* The graph alone, as SVG. */
void fuse_api_plan_picture(struct fuse_text *text, const struct fuse_plan *plan);

#endif
