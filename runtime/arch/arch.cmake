# SPDX-License-Identifier: Apache-2.0
# Selects the folder of runtime/arch/ to compile, as arch.h selects its headers. The processor's options.cmake sets
#   AIOFIBER_ARCH_SWITCH_OPTIONS  options for the sources that inline jump_to()
if(NOT DEFINED AIOFIBER_ARCH)
  set(AIOFIBER_ARCH other)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
    set(AIOFIBER_ARCH x86_64)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64)$" AND CMAKE_SIZEOF_VOID_P EQUAL 8)
    set(AIOFIBER_ARCH aarch64)
  endif()
endif()
set(AIOFIBER_ARCH_SWITCH_OPTIONS)
include(${CMAKE_CURRENT_LIST_DIR}/${AIOFIBER_ARCH}/options.cmake OPTIONAL)
