/* Lines of nothing but ids, many at a time: the digits of a block of text are found at once. Local and pure. */
#ifndef FUSE_IO_TSV_IDS_H
#define FUSE_IO_TSV_IDS_H

#include <stdbool.h>
#include <stdint.h>

/* What may be read, not looked at, behind the last line. */
#define FUSE_TSV_IDS_SLACK 72

/* Reads lines of `columns` ids with one separator between two of them and nothing else, 1 to 18 digits each, up to `most` of
 * those that begin in [at, end): id[c][*n ..] are set, *n is moved on. Returns where the first line begins that was not read, be
 * it because it is not like this. Lines end in a line feed, or a carriage return and a line feed; those that begin before `end`
 * are complete. The separator is no digit, carriage return or line feed. */
const char *fuse_tsv_take_ids(const char *at, const char *end, char separator, int columns, int64_t *const *id,
                              int64_t most, int64_t *n);

#endif
