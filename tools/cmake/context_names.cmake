# SPDX-License-Identifier: Apache-2.0
# Finds the names of the functions in the linked Boost.Context (target Boost::context). Our assembly calls them by name
# (context_names.h). Up to 1.86 they are C names. From 1.87 on they are C++ names: the shared library hides the C names,
# the archive has both. The test therefore searches C++ names first, so that a build with one can link with the other.
include(CheckCXXSourceCompiles)
set(CMAKE_REQUIRED_LIBRARIES Boost::context)
check_cxx_source_compiles("
  namespace boost::context::detail {
    struct transfer_t { void *fctx, *data; };
    transfer_t jump_fcontext(void*, void*);
  }
  int main() { boost::context::detail::jump_fcontext(nullptr, nullptr); }" AIOFIBER_CONTEXT_NAMES_ARE_CXX)
unset(CMAKE_REQUIRED_LIBRARIES)

# aiofiber_context_names(TARGET): TARGET is compiled for those names.
function(aiofiber_context_names target)
  if(AIOFIBER_CONTEXT_NAMES_ARE_CXX)
    target_compile_definitions(${target} PRIVATE AIOFIBER_CONTEXT_NAMES_ARE_CXX=1)
  endif()
endfunction()
