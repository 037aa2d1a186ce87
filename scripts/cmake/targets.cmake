# The functions by which folders declare what they build and test.
#
#   fuse_add_library(<name> SOURCES <file>... [LINK <target>...])
#       One static library for a folder. LINK spells out the layers below that it may include.
#
#   fuse_add_unit_test(<name> SOURCES <file>... [LINK <target>...] [ARGS <arg>...])
#       A cmocka program in one process: ctest entry unit.<name>, label unit, leak detection on.
#
#   fuse_add_mpi_test(<name> SOURCES <file>... [LINK <target>...] [ARGS <arg>...] [RANKS <k>...])
#       A cmocka program on k ranks: ctest entries mpi.<name>.n<k>, label mpi. RANKS defaults to 1 2 3 4 8.
#
#   fuse_add_mpi_command(<name> RANKS <k>... COMMAND <program> [<arg>...] [LABELS <label>...])
#       Any program on k ranks, such as $<TARGET_FILE:fuse-dist>: entries <name>.n<k>, label run unless given.
#
#   fuse_set_test_environment(<test> [<k>])
#       The environment above for a test made by add_test: timeout, skip code 77, Open MPI settings when k is given.
#       A script that starts mpirun itself wants k as the largest number of ranks that it starts.
#
#   fuse_use_standing_jobs(<test>)
#       What the script of this entry would start under mpirun runs in standing jobs (tests/run/standing.py).
#
#   fuse_add_fuzzer(<name> SOURCES <file>... [LINK <target>...] [OPTIONS <option>...] CORPUS <folder>...)
#       In builds with FUSE_FUZZ a libFuzzer program of target fuzzers, which scripts/fuzz.sh runs with the arguments that
#       fuzz_<name>.arguments holds, one a line. In others a program that replays the corpus: entry fuzz.replay.<name>,
#       label unit.
#
# A test that returns 77 is skipped; the limit is 60 seconds (set TIMEOUT on a test that needs another). Tests of many seconds have
# a COST, seconds on an idle machine: ctest -j begins with them.

if(FUSE_TESTS)
  find_library(CMOCKA_LIBRARY NAMES cmocka REQUIRED)
  find_path(CMOCKA_INCLUDE_DIR NAMES cmocka.h REQUIRED)
  mark_as_advanced(CMOCKA_LIBRARY CMOCKA_INCLUDE_DIR)
  add_library(cmocka::cmocka UNKNOWN IMPORTED)
  set_target_properties(cmocka::cmocka PROPERTIES
    IMPORTED_LOCATION "${CMOCKA_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${CMOCKA_INCLUDE_DIR}")
endif()

function(fuse_add_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK")
  add_library(${name} STATIC ${arg_SOURCES})
  target_link_libraries(${name} PUBLIC fuse_flags ${arg_LINK})
endfunction()

function(fuse_set_test_environment test)
  # These two pin OpenBLAS to a kernel or a blocking that is not the processor's own.
  set(changes OPENBLAS_CORETYPE=unset: OPENBLAS_L2_SIZE=unset:)
  if(ARGC GREATER 1)
    set(ranks ${ARGV1})
    list(APPEND changes
      OMPI_ALLOW_RUN_AS_ROOT=set:1
      OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=set:1
      OMPI_MCA_rmaps_base_oversubscribe=set:1
      OMPI_MCA_mpi_yield_when_idle=set:1
      OMPI_MCA_hwloc_base_binding_policy=set:none
      OMP_NUM_THREADS=set:1
      # Open MPI's own leaks would be reported.
      ASAN_OPTIONS=set:detect_leaks=0)
  else()
    set(ranks 1)
    list(APPEND changes ASAN_OPTIONS=set:detect_leaks=1)
  endif()
  # Ranks beyond two share the cores: of such tests ctest -j4 runs two at a time.
  set(processors ${ranks})
  if(processors GREATER 2)
    set(processors 2)
  endif()
  list(APPEND changes UBSAN_OPTIONS=set:print_stacktrace=1)
  set_tests_properties(${test} PROPERTIES
    TIMEOUT 60
    SKIP_RETURN_CODE 77
    PROCESSORS ${processors}
    ENVIRONMENT_MODIFICATION "${changes}")
endfunction()

function(fuse_use_standing_jobs test)
  set_property(TEST ${test} APPEND PROPERTY ENVIRONMENT_MODIFICATION
    FUSE_STANDING_JOB=set:${PROJECT_BINARY_DIR}/tests/run/standing_job)
endfunction()

function(fuse_add_unit_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK;ARGS")
  add_executable(unit_${name} ${arg_SOURCES})
  target_link_libraries(unit_${name} PRIVATE fuse_flags ${arg_LINK} cmocka::cmocka)
  add_test(NAME unit.${name} COMMAND unit_${name} ${arg_ARGS})
  fuse_set_test_environment(unit.${name})
  set_tests_properties(unit.${name} PROPERTIES LABELS unit)
endfunction()

function(fuse_add_mpi_command name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "RANKS;COMMAND;LABELS")
  if(NOT arg_LABELS)
    set(arg_LABELS run)
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}.n${ranks}
      COMMAND ${MPIEXEC_EXECUTABLE} ${MPIEXEC_NUMPROC_FLAG} ${ranks} ${arg_COMMAND})
    fuse_set_test_environment(${name}.n${ranks} ${ranks})
    set_tests_properties(${name}.n${ranks} PROPERTIES LABELS "${arg_LABELS}")
  endforeach()
endfunction()

function(fuse_add_mpi_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK;ARGS;RANKS")
  if(NOT arg_RANKS)
    set(arg_RANKS 1 2 3 4 8)
  endif()
  add_executable(mpi_${name} ${arg_SOURCES})
  target_link_libraries(mpi_${name} PRIVATE fuse_flags ${arg_LINK} MPI::MPI_C cmocka::cmocka)
  fuse_add_mpi_command(mpi.${name} RANKS ${arg_RANKS} COMMAND $<TARGET_FILE:mpi_${name}> ${arg_ARGS} LABELS mpi)
endfunction()

function(fuse_add_fuzzer name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "" "" "SOURCES;LINK;OPTIONS;CORPUS")
  list(TRANSFORM arg_CORPUS PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  if(NOT FUSE_FUZZ)
    add_executable(replay_${name} "${PROJECT_SOURCE_DIR}/tests/fuzz/replay_corpus.c" ${arg_SOURCES})
    target_link_libraries(replay_${name} PRIVATE fuse_flags ${arg_LINK})
    add_test(NAME fuzz.replay.${name} COMMAND replay_${name} ${arg_CORPUS})
    fuse_set_test_environment(fuzz.replay.${name})
    set_tests_properties(fuzz.replay.${name} PROPERTIES LABELS unit)
    return()
  endif()
  add_executable(fuzz_${name} ${arg_SOURCES})
  target_link_libraries(fuzz_${name} PRIVATE fuse_flags ${arg_LINK})
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
  set(arguments ${arg_OPTIONS} ${arg_CORPUS})
  list(JOIN arguments "\n" arguments)
  file(GENERATE OUTPUT "${CMAKE_CURRENT_BINARY_DIR}/fuzz_${name}.arguments" CONTENT "${arguments}\n")
  if(NOT TARGET fuzzers)
    add_custom_target(fuzzers)
  endif()
  add_dependencies(fuzzers fuzz_${name})
endfunction()
