# fuse_flags: include folders, definitions and warnings of everything that is compiled here. Two include roots:
# src ("core/error.h") and the top of the tree ("io/format.h", "launcher/...").

add_library(fuse_flags INTERFACE)
target_include_directories(fuse_flags INTERFACE "${PROJECT_SOURCE_DIR}/src" "${PROJECT_SOURCE_DIR}")
target_compile_definitions(fuse_flags INTERFACE _GNU_SOURCE "FUSE_DIST_VERSION=\"${PROJECT_VERSION}\"")
target_compile_options(fuse_flags INTERFACE
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla)

if(FUSE_WERROR)
  target_compile_options(fuse_flags INTERFACE -Werror)
endif()
if(FUSE_NATIVE)
  target_compile_options(fuse_flags INTERFACE -march=native)
endif()
if(FUSE_FAULTS)
  target_compile_definitions(fuse_flags INTERFACE FUSE_FAULTS=1)
endif()
if(FUSE_SANITIZE)
  target_compile_options(fuse_flags INTERFACE
    -fsanitize=${FUSE_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(fuse_flags INTERFACE -fsanitize=${FUSE_SANITIZE})
endif()
