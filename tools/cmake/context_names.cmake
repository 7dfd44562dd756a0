# SPDX-License-Identifier: Apache-2.0
# Which names the functions of Boost.Context have that is linked, the target Boost::context. Our assembly enters
# them by name (context_names.h). Up to 1.86 the names are C's. From 1.87 on they are C++'s: the shared library hides
# C's, the archive has both. So C++'s are asked for: who builds with one of the two can link with the other then.
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
