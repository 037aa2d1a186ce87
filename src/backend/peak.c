#include "backend/peak.h"

#include "backend/cpu_tile.h"

#include <time.h>

#define ROUNDS 200000
#define TRIES 7

static double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

double fuse_cpu_add_min_rate(const char *isa, bool is_double) {
    const struct fuse_tile_table *tile = fuse_tile_choose(isa);
    if (!tile)
        return 0;
    double best = 0;
    volatile double sink;
    for (int t = 0; t < TRIES; t++) {
        double operations, start = seconds_now();
        sink = tile->add_min(ROUNDS, &operations);
        const double seconds = seconds_now() - start;
        if (seconds > 0 && operations / seconds > best)
            best = operations / seconds;
    }
    (void)sink;
    return is_double ? best / 2 : best; /* half as many lanes */
}
