#include "tests/mpi/pmpi_count.h"

#include <mpi.h>

int64_t pmpi_received_bytes;

int MPI_Irecv(void *data, int count, MPI_Datatype type, int source, int tag, MPI_Comm comm, MPI_Request *request) {
    int size;
    PMPI_Type_size(type, &size);
    pmpi_received_bytes += (int64_t)count * size;
    return PMPI_Irecv(data, count, type, source, tag, comm, request);
}
