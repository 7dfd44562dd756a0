# SPDX-License-Identifier: Apache-2.0
# For -DBUILD_SHARED_LIBS=ON: the names of the shared libraries, and what they export (shared.map). They are compiled as the
# archives are, so a compiler cache has both of one.
foreach(target aiofiber_runtime aiofiber aiofiber_tls)
  if(NOT TARGET ${target})
    continue()
  endif()
  set_target_properties(${target} PROPERTIES VERSION ${AIOFIBER_SOVERSION}.${PROJECT_VERSION} SOVERSION ${AIOFIBER_SOVERSION}
    DEFINE_SYMBOL "" LINK_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/shared.map)
  target_link_options(${target} PRIVATE LINKER:--version-script=${CMAKE_CURRENT_LIST_DIR}/shared.map)
  if(NOT AIOFIBER_SANITIZE)
    target_link_options(${target} PRIVATE LINKER:--no-undefined)
  endif()
endforeach()
