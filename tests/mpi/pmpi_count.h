/* A second opinion on what travels: MPI's profiling interface counts the bytes that receives complete, whatever the program
 * itself believes. Link pmpi_count.c into a test and read the counter. */
#ifndef FUSE_TESTS_PMPI_COUNT_H
#define FUSE_TESTS_PMPI_COUNT_H

#include <stdint.h>

/* Bytes that MPI_Irecv has asked for on this rank since the start. */
extern int64_t pmpi_received_bytes;

#endif
