# FUSE::HDF5, the parallel library. FindHDF5 takes a serial one without a word where it finds no other: that is an error here.

set(HDF5_PREFER_PARALLEL ON)
find_package(HDF5 1.10.7 COMPONENTS C)
if(NOT HDF5_FOUND OR NOT HDF5_IS_PARALLEL)
  message(FATAL_ERROR "Parallel HDF5 (1.10.7 or newer) was not found; what is there: '${HDF5_C_LIBRARIES}'. "
                      "On Debian: scripts/setup.sh, or apt-get install libhdf5-openmpi-dev")
endif()

# What libhdf5 itself needs it brings.
list(FILTER HDF5_C_LIBRARIES INCLUDE REGEX "hdf5")
add_library(FUSE::HDF5 INTERFACE IMPORTED)
set_target_properties(FUSE::HDF5 PROPERTIES
  INTERFACE_INCLUDE_DIRECTORIES "${HDF5_C_INCLUDE_DIRS}"
  INTERFACE_LINK_LIBRARIES "${HDF5_C_LIBRARIES}")
