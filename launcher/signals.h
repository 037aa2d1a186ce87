/* What happens to files and folders under temporary names when a signal ends the program. */
#ifndef FUSE_LAUNCHER_SIGNALS_H
#define FUSE_LAUNCHER_SIGNALS_H

/* SIGTERM, SIGINT and SIGHUP remove what signals_keep has been told of, then end the program as they would have. Every rank
 * knows every file, so they are removed even when the rank that made them was killed. */
void signals_catch(void);
/* A file or a folder has a temporary name from now on (exists 1), or no longer (0). Folders are removed when they are
 * empty but for what else is known. */
void signals_keep(void *context, const char *path, int exists);

/* Removes them, as the signals do: for the end of a rank that cannot reach the others any more. */
void signals_remove(void);

#endif
