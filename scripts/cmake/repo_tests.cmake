# Tests of the source tree itself.

add_test(NAME repo.layers COMMAND ${FUSE_PYTHON} "${PROJECT_SOURCE_DIR}/scripts/check-layers.py")
add_test(NAME repo.layers-self-test COMMAND ${FUSE_PYTHON} "${PROJECT_SOURCE_DIR}/scripts/check-layers.py" --self-test)
add_test(NAME repo.format COMMAND "${PROJECT_SOURCE_DIR}/scripts/check-format.sh")
add_test(NAME repo.builtins-doc COMMAND ${FUSE_PYTHON} "${PROJECT_SOURCE_DIR}/scripts/builtins-doc.py" --check)
add_test(NAME repo.shell COMMAND "${PROJECT_SOURCE_DIR}/scripts/check-shell.sh")
foreach(test IN ITEMS repo.layers repo.layers-self-test repo.format repo.builtins-doc repo.shell)
  set_tests_properties(${test} PROPERTIES LABELS repo TIMEOUT 60 SKIP_RETURN_CODE 77)
endforeach()
