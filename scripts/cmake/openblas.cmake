# OpenBLAS::OpenBLAS, the serial build where the distribution has one: fuse-dist threads its kernels with OpenMP, and
# a BLAS that starts threads of its own would oversubscribe the cores. Every build of OpenBLAS has the same soname, so
# the folder of the one found here goes into the run path; the alternatives system cannot swap another one in.

find_library(OPENBLAS_LIBRARY NAMES openblas
  PATHS "/usr/lib/${CMAKE_C_LIBRARY_ARCHITECTURE}/openblas-serial" NO_DEFAULT_PATH)
find_path(OPENBLAS_INCLUDE_DIR NAMES cblas.h
  PATHS "/usr/include/${CMAKE_C_LIBRARY_ARCHITECTURE}/openblas-serial" NO_DEFAULT_PATH)
if(NOT OPENBLAS_LIBRARY OR NOT OPENBLAS_INCLUDE_DIR)
  find_library(OPENBLAS_LIBRARY NAMES openblas)
  find_path(OPENBLAS_INCLUDE_DIR NAMES cblas.h PATH_SUFFIXES openblas)
  if(NOT OPENBLAS_LIBRARY OR NOT OPENBLAS_INCLUDE_DIR)
    message(FATAL_ERROR "OpenBLAS was not found. On Debian: scripts/setup.sh, or apt-get install libopenblas-serial-dev")
  endif()
  message(STATUS "No serial OpenBLAS here; using ${OPENBLAS_LIBRARY}")
endif()
mark_as_advanced(OPENBLAS_LIBRARY OPENBLAS_INCLUDE_DIR)

add_library(OpenBLAS::OpenBLAS UNKNOWN IMPORTED)
set_target_properties(OpenBLAS::OpenBLAS PROPERTIES
  IMPORTED_LOCATION "${OPENBLAS_LIBRARY}"
  INTERFACE_INCLUDE_DIRECTORIES "${OPENBLAS_INCLUDE_DIR}")
