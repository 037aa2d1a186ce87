/* What is written past the caches is not read first, and a processor fetches ahead within a page only: a copy that works on several
 * pages at a time has more of memory under way, twice as much per second as one that goes from line to line. */
#include "backend/cpu_stream.h"

#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { LINE = 64, STEP = 2 * LINE, LANES = 4 };
/* A row of so many bytes is cut in lanes by itself. */
static const int64_t long_row = (int64_t)LANES * 4096;

void fuse_stream_fence(void) {
#if defined(__SSE2__)
    _mm_sfence();
#endif
}

/* `to` begins with a line. */
static inline void stream_step(char *to, const char *from) {
#if defined(__SSE2__)
    for (int i = 0; i < STEP; i += 16)
        _mm_stream_si128((__m128i *)(to + i), _mm_loadu_si128((const __m128i *)(from + i)));
#else
    memcpy(to, from, STEP);
#endif
}

/* Four runs of `bytes` bytes, lane_to and lane_from apart. */
static void stream_lanes(char *to, const char *from, int64_t bytes, int64_t lane_to, int64_t lane_from) {
    int64_t head[LANES], steps = INT64_MAX;
    for (int l = 0; l < LANES; l++) {
        char *lane = to + l * lane_to;
        head[l] = (int64_t)((LINE - (uintptr_t)lane % LINE) % LINE);
        memcpy(lane, from + l * lane_from, (size_t)head[l]);
        steps = (bytes - head[l]) / STEP < steps ? (bytes - head[l]) / STEP : steps;
    }
    for (int64_t s = 0; s < steps; s++)
        for (int l = 0; l < LANES; l++)
            stream_step(to + l * lane_to + head[l] + s * STEP, from + l * lane_from + head[l] + s * STEP);
    for (int l = 0; l < LANES; l++) {
        const int64_t done = head[l] + steps * STEP;
        memcpy(to + l * lane_to + done, from + l * lane_from + done, (size_t)(bytes - done));
    }
}

void fuse_stream_rows(char *to, const char *from, int64_t rows, int64_t bytes, int64_t row_to, int64_t row_from) {
    int64_t r = 0;
    if (bytes >= long_row)
        for (; r < rows; r++) {
            const int64_t lane = bytes / LANES / LINE * LINE, done = LANES * lane;
            stream_lanes(to + r * row_to, from + r * row_from, lane, lane, lane);
            memcpy(to + r * row_to + done, from + r * row_from + done, (size_t)(bytes - done));
        }
    for (; r + LANES <= rows; r += LANES)
        stream_lanes(to + r * row_to, from + r * row_from, bytes, row_to, row_from);
    for (; r < rows; r++)
        memcpy(to + r * row_to, from + r * row_from, (size_t)bytes);
}
