# The target pyslab::libpyslab: the library for programs without Python, its header and flags.
include("${CMAKE_CURRENT_LIST_DIR}/libpyslabTargets.cmake")
