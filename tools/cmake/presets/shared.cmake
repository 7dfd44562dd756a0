# SPDX-License-Identifier: Apache-2.0
# What is installed, with shared libraries.
include(${CMAKE_CURRENT_LIST_DIR}/libraries.cmake)
set(BUILD_SHARED_LIBS ON CACHE BOOL "")
