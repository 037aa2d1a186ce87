/* How far the run has come, on standard error: a bar that redraws itself, or a line now and then in a log. */
#ifndef FUSE_LAUNCHER_PROGRESS_H
#define FUSE_LAUNCHER_PROGRESS_H

#include "api/fuse_dist.h"

#include <stdbool.h>
#include <stddef.h>

enum progress_kind { PROGRESS_OFF, PROGRESS_BAR, PROGRESS_LINES };

/* "auto|bar|lines|off"; NULL is auto: a bar on a terminal, else lines. */
enum progress_kind progress_choose(const char *word, bool is_terminal);
/* Seconds from the start of the run to the first report, and between reports. */
double progress_first(enum progress_kind kind);
double progress_interval(enum progress_kind kind);
/* Writes one report of at most `columns` characters: no line end, no control characters. seconds: since the start of the
 * run. The estimate of the rest begins at one part in a hundred. */
void progress_text(char *text, size_t bytes, enum progress_kind kind, const struct fuse_dist_progress *now,
                   double seconds, int columns);

/* Starts a thread that reports; nothing is reported when there is none to be had. */
void progress_start(enum progress_kind kind);
/* What fuse_dist_options.progress is. */
void progress_note(void *context, const struct fuse_dist_progress *now);
/* Between the two nothing is reported and the bar is off the screen: for output of others. */
void progress_hold(void);
void progress_release(void);
/* Ends the thread and takes the bar off the screen. Nothing when it was not started. */
void progress_stop(void);
/* Takes the bar off the screen; may be called by a handler of signals. */
void progress_wipe(void);

#endif
