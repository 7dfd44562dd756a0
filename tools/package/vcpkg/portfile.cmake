# SPDX-License-Identifier: Apache-2.0
# An overlay port: vcpkg install aiofiber --overlay-ports=tools/package/vcpkg. It builds the tree that it is in.
get_filename_component(tree "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
vcpkg_cmake_configure(SOURCE_PATH "${tree}" OPTIONS
  -DAIOFIBER_TESTS=OFF -DAIOFIBER_BENCH=OFF -DAIOFIBER_EXAMPLES=OFF -DAIOFIBER_COMMAND=OFF -DAIOFIBER_WARNINGS_AS_ERRORS=OFF)
vcpkg_cmake_install()
vcpkg_cmake_config_fixup(CONFIG_PATH lib/cmake/aiofiber)
vcpkg_fixup_pkgconfig()
file(REMOVE_RECURSE "${CURRENT_PACKAGES_DIR}/debug/include" "${CURRENT_PACKAGES_DIR}/debug/share")
vcpkg_install_copyright(FILE_LIST "${tree}/LICENSE")
