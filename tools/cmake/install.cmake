# SPDX-License-Identifier: Apache-2.0
# The files of `cmake --install`: archives (with BUILD_SHARED_LIBS shared libraries), public headers, and two descriptions of the
# package: aiofiberConfig.cmake for find_package(aiofiber CONFIG), and aiofiber.pc and its kin for pkg-config. The hooks are both an
# archive and a shared library: for programs that have them inside, and for LD_PRELOAD and programs that link it.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(AIOFIBER_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/aiofiber)

set_target_properties(aiofiber_runtime PROPERTIES EXPORT_NAME runtime)
set_target_properties(aiofiber_libdw PROPERTIES EXPORT_NAME libdw)
set_target_properties(aiofiber_tls PROPERTIES EXPORT_NAME tls)
install(TARGETS aiofiber aiofiber_runtime aiofiber_libdw aiofiber_tls EXPORT aiofiberTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT aiofiberTargets NAMESPACE aiofiber:: DESTINATION ${AIOFIBER_CMAKE_DIR})
foreach(folder runtime facade)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}/aiofiber DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")
endforeach()

install(FILES ${PROJECT_SOURCE_DIR}/facade/aiofiber.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})

# For stripped programs: the gdb commands that every other program carries in itself.
install(FILES ${AIOFIBER_GDB_SCRIPT} DESTINATION ${CMAKE_INSTALL_DATADIR}/aiofiber)

# In the build tree the hooks are object files, so that all of them reach the program. Installed they are an archive,
# which aiofiberConfig.cmake links whole.
if(TARGET aiofiber_hooks)
  add_library(aiofiber_hooks_archive STATIC $<TARGET_OBJECTS:aiofiber_hooks>)
  set_target_properties(aiofiber_hooks_archive PROPERTIES OUTPUT_NAME aiofiber_hooks)
  install(TARGETS aiofiber_hooks_archive ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  set_target_properties(aiofiber_simulation PROPERTIES EXPORT_NAME simulation)
  install(TARGETS aiofiber_simulation EXPORT aiofiberTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(TARGETS aiofiber_hooks_shared EXPORT aiofiberTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endif()

# So is what an instrumented program needs.
if(TARGET aiofiber_instrumented)
  add_library(aiofiber_instrumented_archive STATIC $<TARGET_OBJECTS:aiofiber_instrumented>)
  set_target_properties(aiofiber_instrumented_archive PROPERTIES OUTPUT_NAME aiofiber_instrumented)
  install(TARGETS aiofiber_instrumented_archive ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
endif()

# Right behind the archive of the hooks stands the runtime: a linker that drops unneeded libraries has not seen before who needs it.
set(AIOFIBER_RUNTIME_FILE ${CMAKE_STATIC_LIBRARY_PREFIX}aiofiber_runtime${CMAKE_STATIC_LIBRARY_SUFFIX})
if(BUILD_SHARED_LIBS)
  set(AIOFIBER_RUNTIME_FILE ${CMAKE_SHARED_LIBRARY_PREFIX}aiofiber_runtime${CMAKE_SHARED_LIBRARY_SUFFIX})
endif()
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/aiofiberConfig.cmake.in
  ${PROJECT_BINARY_DIR}/aiofiberConfig.cmake
  INSTALL_DESTINATION ${AIOFIBER_CMAKE_DIR} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR CMAKE_INSTALL_DATADIR)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/aiofiberConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/aiofiberConfig.cmake ${PROJECT_BINARY_DIR}/aiofiberConfigVersion.cmake
  ${CMAKE_CURRENT_LIST_DIR}/absl.cmake DESTINATION ${AIOFIBER_CMAKE_DIR})

# From lib/pkgconfig, or lib/x86_64-linux-gnu/pkgconfig, back to the prefix.
file(RELATIVE_PATH AIOFIBER_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
if(BUILD_SHARED_LIBS)  # which have linked what they need
  set(AIOFIBER_PC_REQUIRES "")
  set(AIOFIBER_PC_OF_ARCHIVES "")
  set(AIOFIBER_PC_TLS_LIBS "-L\${libdir} -laiofiber_tls")
else()
  list(JOIN AIOFIBER_ABSL_PACKAGES ", " AIOFIBER_PC_REQUIRES)
  set(AIOFIBER_PC_OF_ARCHIVES " -lboost_context -lev")
  if(AIOFIBER_CONTEXT_ARCHIVE)
    set(AIOFIBER_PC_OF_ARCHIVES " -l:libboost_context.a -lev")
  endif()
  set(AIOFIBER_PC_TLS_LIBS
    "\${libdir}/libaiofiber_tls.a \${libdir}/libaiofiber.a \${libdir}/libaiofiber_runtime.a -lssl -lcrypto")
endif()
# aiofiber_packages(NAME DESCRIPTION STANDARD CXX_LIBRARIES LAST): NAME.pc and NAME-hooks.pc.
function(aiofiber_packages AIOFIBER_PC_NAME AIOFIBER_PC_DESCRIPTION AIOFIBER_PC_STANDARD AIOFIBER_PC_CXX_LIBRARIES
    AIOFIBER_PC_LAST)
  configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/aiofiber.pc.in ${PROJECT_BINARY_DIR}/${AIOFIBER_PC_NAME}.pc @ONLY)
  configure_file(${CMAKE_CURRENT_FUNCTION_LIST_DIR}/aiofiber-hooks.pc.in ${PROJECT_BINARY_DIR}/${AIOFIBER_PC_NAME}-hooks.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/${AIOFIBER_PC_NAME}.pc ${PROJECT_BINARY_DIR}/${AIOFIBER_PC_NAME}-hooks.pc
    DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()
aiofiber_packages(aiofiber "Stackful fibers that speak asyncio" " -std=c++20" "" "")
configure_file(${CMAKE_CURRENT_LIST_DIR}/aiofiber-tls.pc.in ${PROJECT_BINARY_DIR}/aiofiber-tls.pc @ONLY)
configure_file(${CMAKE_CURRENT_LIST_DIR}/aiofiber-simulation.pc.in ${PROJECT_BINARY_DIR}/aiofiber-simulation.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/aiofiber-tls.pc ${PROJECT_BINARY_DIR}/aiofiber-simulation.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
if(TARGET aiofiber_instrumented)
  list(JOIN AIOFIBER_INSTRUMENTED_OPTIONS " " AIOFIBER_PC_INSTRUMENTED_OPTIONS)
  list(JOIN AIOFIBER_WRAPPED_CALLS " " AIOFIBER_PC_WRAPPED_CALLS)
  configure_file(${CMAKE_CURRENT_LIST_DIR}/aiofiber-instrumented.pc.in ${PROJECT_BINARY_DIR}/aiofiber-instrumented.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/aiofiber-instrumented.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()
# The C compiler does not link the libraries of C++ by itself. A static program needs them behind all others, and
# pkg-config puts there what is required last.
aiofiber_packages(aiofiber-c "Tasks for programs in C: aiofiber.h" "" "-lstdc++ -lm " ", aiofiber-c-last")
configure_file(${CMAKE_CURRENT_LIST_DIR}/aiofiber-c-last.pc.in ${PROJECT_BINARY_DIR}/aiofiber-c-last.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/aiofiber-c-last.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_CURRENT_LIST_DIR}/exports.list ${PROJECT_BINARY_DIR}/hooks_exports.list
  DESTINATION ${CMAKE_INSTALL_DATADIR}/aiofiber)

if(PROJECT_IS_TOP_LEVEL)
  add_custom_target(uninstall COMMENT "Removing what was installed last" VERBATIM
    COMMAND ${CMAKE_COMMAND} -DMANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt -P ${CMAKE_CURRENT_LIST_DIR}/uninstall.cmake)
endif()
