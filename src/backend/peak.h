/* What a core can do at best, measured in a moment. Local. */
#ifndef FUSE_BACKEND_PEAK_H
#define FUSE_BACKEND_PEAK_H

#include <stdbool.h>

/* Additions and minima together, a second, of vectors in registers of the instruction set (NULL: the best that there is), as many
 * of the one as of the other. 0 when this processor has no such set. */
double fuse_cpu_add_min_rate(const char *isa, bool is_double);

#endif
