# SPDX-License-Identifier: Apache-2.0
"""The recipe for Conan 2: `conan create tools/package/conan`. It exports the tree that it is in."""
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.cmake import CMake, CMakeDeps, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load

TREE = os.path.join("..", "..", "..")


class Aiofiber(ConanFile):
    name = "aiofiber"
    description = "Stackful fibers with the API of Python's asyncio"
    license = "Apache-2.0"
    topics = ("asyncio", "fibers", "coroutines")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False]}
    default_options = {"shared": False}

    def set_version(self):
        text = load(self, os.path.join(self.recipe_folder, TREE, "CMakeLists.txt"))
        self.version = re.search(r"project\(aiofiber VERSION ([0-9.]+)", text).group(1)

    def export_sources(self):
        tree = os.path.join(self.recipe_folder, TREE)
        for pattern in ["CMakeLists.txt", "LICENSE", "runtime/*", "facade/*", "tools/CHANGELOG.md", "tools/cmake/*"]:
            copy(self, pattern, tree, self.export_sources_folder)

    def validate(self):
        if self.settings.os != "Linux" or str(self.settings.arch) == "x86":
            raise ConanInvalidConfiguration("aiofiber needs Linux on a processor of 64 bits")

    def requirements(self):
        self.requires("abseil/[>=20220623.1]", transitive_headers=True, transitive_libs=True)
        self.requires("boost/[>=1.74]", transitive_libs=True)
        self.requires("elfutils/[>=0.188]")
        self.requires("libev/[>=4.33]")
        self.requires("liburing/[>=2.3]")
        self.requires("openssl/[>=3.0 <4]")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        CMakeDeps(self).generate()
        toolchain = CMakeToolchain(self)
        for option in ["TESTS", "BENCH", "EXAMPLES", "COMMAND", "WARNINGS_AS_ERRORS"]:
            toolchain.variables[f"AIOFIBER_{option}"] = False
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()

    def package_info(self):
        # Its own aiofiberConfig.cmake knows the targets, the link order and the exports.
        self.cpp_info.set_property("cmake_find_mode", "none")
        self.cpp_info.builddirs.append(os.path.join("lib", "cmake", "aiofiber"))
