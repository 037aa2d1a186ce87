# OpenBLAS::OpenBLAS, the sequential build where the distribution has one, linked statically: fuse-dist threads its
# kernels with OpenMP, and a BLAS that starts threads of its own would oversubscribe the cores. Static, because the
# sequential build hands out its packing buffers without a lock: FUSE_OPENBLAS_STATIC tells src/backend that it can put
# buffers of its own in their place (blas_buffers.c). It also leaves no library to be swapped at run time.

set(FUSE_OPENBLAS_STATIC OFF)
find_library(OPENBLAS_LIBRARY NAMES libopenblas.a
  PATHS "/usr/lib/${CMAKE_C_LIBRARY_ARCHITECTURE}/openblas-serial" NO_DEFAULT_PATH)
find_path(OPENBLAS_INCLUDE_DIR NAMES cblas.h
  PATHS "/usr/include/${CMAKE_C_LIBRARY_ARCHITECTURE}/openblas-serial" NO_DEFAULT_PATH)
if(OPENBLAS_LIBRARY AND OPENBLAS_INCLUDE_DIR)
  if(OPENBLAS_LIBRARY MATCHES "\\.a$")
    set(FUSE_OPENBLAS_STATIC ON)
  endif()
else()
  find_library(OPENBLAS_LIBRARY NAMES openblas)
  find_path(OPENBLAS_INCLUDE_DIR NAMES cblas.h PATH_SUFFIXES openblas)
  if(NOT OPENBLAS_LIBRARY OR NOT OPENBLAS_INCLUDE_DIR)
    message(FATAL_ERROR "OpenBLAS was not found. On Debian: scripts/setup.sh, or apt-get install libopenblas-serial-dev")
  endif()
  message(STATUS "No sequential OpenBLAS here; using ${OPENBLAS_LIBRARY}")
endif()
mark_as_advanced(OPENBLAS_LIBRARY OPENBLAS_INCLUDE_DIR)

add_library(OpenBLAS::OpenBLAS UNKNOWN IMPORTED)
set_target_properties(OpenBLAS::OpenBLAS PROPERTIES
  IMPORTED_LOCATION "${OPENBLAS_LIBRARY}"
  INTERFACE_INCLUDE_DIRECTORIES "${OPENBLAS_INCLUDE_DIR}"
  INTERFACE_LINK_LIBRARIES m)
