# SPDX-License-Identifier: Apache-2.0
# aiofiber::absl: the parts of abseil that our libraries call. Executables take them from abseil's archives, because each
# shared library makes the start of a program longer (runtime/README.md, "abseil"). Shared libraries take them from abseil's
# shared libraries: Debian's archives are not position independent. An executable keeps its copy to itself: else the shared
# abseil of its other libraries would call into it, past the hooks. Used by our own build and by aiofiberConfig.cmake.

# All that `target` of abseil links, in the order of a link: who calls comes before who is called.
function(aiofiber_collect_absl target result)
  set(found ${${result}})
  if(NOT target IN_LIST found)
    get_target_property(linked ${target} INTERFACE_LINK_LIBRARIES)
    foreach(next IN LISTS linked)
      if(TARGET ${next} AND next MATCHES "^absl::")
        aiofiber_collect_absl(${next} found)
      endif()
    endforeach()
    list(PREPEND found ${target})
  endif()
  set(${result} ${found} PARENT_SCOPE)
endfunction()

# aiofiber_add_absl(PART...): makes the target of absl::PART and so on, once.
function(aiofiber_add_absl)
  if(TARGET aiofiber::absl)
    return()
  endif()
  list(TRANSFORM ARGN PREPEND absl:: OUTPUT_VARIABLE parts)
  set(all)
  foreach(part IN LISTS parts)
    aiofiber_collect_absl(${part} all)
  endforeach()
  set(archives)
  set(names)
  foreach(target IN LISTS all)
    get_target_property(type ${target} TYPE)
    if(type STREQUAL "SHARED_LIBRARY")
      get_target_property(location ${target} LOCATION)
      string(REGEX REPLACE "\\.so[.0-9]*$" ".a" location "${location}")
      if(NOT EXISTS "${location}")
        set(archives ${parts})  # an abseil without archives
        set(names)
        break()
      endif()
      list(APPEND archives ${location})
      get_filename_component(name ${location} NAME)
      list(APPEND names ${name})
    elseif(type STREQUAL "STATIC_LIBRARY")
      list(APPEND archives ${target})
    endif()
  endforeach()
  add_library(aiofiber::absl INTERFACE IMPORTED GLOBAL)
  set_target_properties(aiofiber::absl PROPERTIES INTERFACE_LINK_LIBRARIES
    "$<IF:$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>,${archives},${parts}>")
  if(names)
    list(JOIN names ":" names)
    set_target_properties(aiofiber::absl PROPERTIES INTERFACE_LINK_OPTIONS
      "$<$<STREQUAL:$<TARGET_PROPERTY:TYPE>,EXECUTABLE>:-Wl,--exclude-libs,${names}>")
  endif()
  get_target_property(headers absl::strings INTERFACE_INCLUDE_DIRECTORIES)
  set_target_properties(aiofiber::absl PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${headers}")
endfunction()
