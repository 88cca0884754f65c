# The target pyslab::pyslab: the header's directory, and nothing to link.
if(NOT TARGET pyslab::pyslab)
  get_filename_component(pyslab_ROOT_DIR "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
  set(pyslab_INCLUDE_DIR "${pyslab_ROOT_DIR}/include")
  add_library(pyslab::pyslab INTERFACE IMPORTED)
  set_target_properties(pyslab::pyslab PROPERTIES
                        INTERFACE_INCLUDE_DIRECTORIES "${pyslab_INCLUDE_DIR}")
endif()
