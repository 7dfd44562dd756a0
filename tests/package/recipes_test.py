#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what can be seen of the recipes in tools/package and of the presets in tools/cmake without Conan and vcpkg: that they can be read, and
that they agree with the tree about versions, options and files.

usage: recipes_test.py CMAKE
"""
import json
import re
import subprocess
import sys
import tempfile
import types
import unittest
from pathlib import Path

CMAKE = sys.argv[1]
TREE = Path(__file__).resolve().parents[2]
PACKAGE = TREE / "tools/package"
CMAKE_LISTS = (TREE / "CMakeLists.txt").read_text()
VERSION = re.search(r"project\(aiofiber VERSION ([0-9.]+)", CMAKE_LISTS).group(1)
SOVERSION = re.search(r"set\(AIOFIBER_SOVERSION (\d+)\)", CMAKE_LISTS).group(1)
OPTIONS = set(re.findall(r"^ *(?:option|set)\((\w+) ", CMAKE_LISTS, re.M))
OWN_OPTIONS = {option for option in OPTIONS if option.startswith("AIOFIBER_")}

# As much of Conan as the recipe uses: it writes down what it is asked for.
CONAN = {
    "conan": {"ConanFile": type("ConanFile", (), {})},
    "conan.errors": {"ConanInvalidConfiguration": type("ConanInvalidConfiguration", (Exception,), {})},
    "conan.tools": {},
    "conan.tools.cmake": {name: None for name in ["CMake", "CMakeDeps", "CMakeToolchain", "cmake_layout"]},
    "conan.tools.files": {"copy": None, "load": lambda _, path: Path(path).read_text()},
}

# As much of vcpkg as the port uses: each function prints its arguments.
VCPKG = """
foreach(name vcpkg_cmake_configure vcpkg_cmake_install vcpkg_cmake_config_fixup vcpkg_fixup_pkgconfig vcpkg_install_copyright)
  cmake_language(EVAL CODE "function(${name})\\n message(STATUS \\"${name};\\${ARGN}\\")\\n endfunction()")
endforeach()
set(CURRENT_PACKAGES_DIR @FOLDER@)
include(@PORT@)
"""


class ConanRecipe(unittest.TestCase):
    def setUp(self):
        for name, members in CONAN.items():
            module = types.ModuleType(name)
            vars(module).update(members)
            sys.modules[name] = module
        self.calls = []
        files = sys.modules["conan.tools.files"]
        files.copy = lambda _, pattern, source, target: self.calls.append((pattern, Path(source)))
        path = PACKAGE / "conan/conanfile.py"
        space = {"__name__": "conanfile"}
        exec(compile(path.read_text(), path, "exec"), space)  # a file beside it would become __pycache__
        self.recipe = space["Aiofiber"]()
        self.recipe.recipe_folder = str(path.parent)
        self.recipe.export_sources_folder = "exported"
        self.options = set(re.findall(r'"(\w+)"', re.search(r"for option in \[(.*)\]", path.read_text()).group(1)))

    def test_takes_the_version_of_the_tree(self):
        self.recipe.set_version()
        self.assertEqual(self.recipe.version, VERSION)

    def test_exports_what_the_libraries_are_built_from(self):
        self.recipe.export_sources()
        exported = [pattern for pattern, _ in self.calls]
        for pattern, tree in self.calls:
            self.assertTrue(list(tree.glob(pattern)), f"{pattern} is nowhere")
        for file in set(re.findall(r"^ *include\((tools/\S+|runtime/\S+)\)", CMAKE_LISTS, re.M)):
            self.assertTrue(any(Path(file).match(pattern) or file.startswith(pattern.rstrip("*")) for pattern in exported), file)

    def test_requires_libraries_by_name_and_version(self):
        required = []
        self.recipe.requires = lambda reference, **_: required.append(reference)
        self.recipe.requirements()
        self.assertEqual([name for name in required if not re.fullmatch(r"[a-z]+/\[>=[0-9.]+( <\d+)?\]", name)], [])
        self.assertEqual({name.split("/")[0] for name in required}, {"abseil", "boost", "elfutils", "libev", "liburing", "openssl"})

    def test_knows_the_options(self):
        self.assertIn("TESTS", self.options)
        self.assertEqual({f"AIOFIBER_{option}" for option in self.options} - OWN_OPTIONS, set())


class VcpkgPort(unittest.TestCase):
    def test_has_the_version_of_the_tree(self):
        self.assertEqual(json.loads((PACKAGE / "vcpkg/vcpkg.json").read_text())["version"], VERSION)

    def test_configures_the_tree_with_its_options_and_installs_it(self):
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder, "port.cmake")
            script.write_text(VCPKG.replace("@FOLDER@", folder).replace("@PORT@", str(PACKAGE / "vcpkg/portfile.cmake")))
            said = subprocess.run([CMAKE, "-P", script], capture_output=True, text=True, check=True).stdout
        calls = [line.removeprefix("-- ").split(";") for line in said.splitlines()]
        self.assertEqual([call[0] for call in calls[:2]], ["vcpkg_cmake_configure", "vcpkg_cmake_install"])
        configure = calls[0]
        self.assertEqual(Path(configure[configure.index("SOURCE_PATH") + 1]), TREE)
        given = {word[2:].split("=")[0] for word in configure if word.startswith("-D")}
        self.assertIn("AIOFIBER_TESTS", given)
        self.assertEqual(given - OWN_OPTIONS, set())


class DebianPackages(unittest.TestCase):
    def test_are_named_after_the_soname(self):
        control = (PACKAGE / "debian/control").read_text()
        self.assertIn(f"Package: libaiofiber{SOVERSION}\n", control)
        symbols = (PACKAGE / f"debian/libaiofiber{SOVERSION}.symbols").read_text()
        libraries = re.findall(r"^(\S+) (\S+) #MINVER#$", symbols, re.M)
        self.assertIn((f"libaiofiber.so.{SOVERSION}", f"libaiofiber{SOVERSION}"), libraries)
        self.assertGreater(len(re.findall(r"^ _ZN8aiofiber\S+@Base [0-9.]+$", symbols, re.M)), 500)

    def test_are_configured_by_a_preset_that_there_is(self):
        preset = re.search(r"-C \$\(CURDIR\)/(\S+)", (PACKAGE / "debian/rules").read_text()).group(1)
        self.assertTrue((TREE / preset).exists(), preset)

    def test_have_a_changelog_that_dpkg_reads(self):
        with tempfile.NamedTemporaryFile("w", suffix="changelog") as changelog:
            space = {"__name__": "build", "__file__": str(PACKAGE / "build")}
            exec(compile((PACKAGE / "build").read_text(), "build", "exec"), space)
            changelog.write(space["debian_changelog"]("A Packager <a@b.org>"))
            changelog.flush()
            said = subprocess.run(["dpkg-parsechangelog", "-l", changelog.name], capture_output=True, text=True, check=True)
        self.assertEqual(said.stderr, "")
        self.assertIn(f"Version: {VERSION}\n", said.stdout)


class Presets(unittest.TestCase):
    def test_set_options_that_there_are(self):
        presets = sorted((TREE / "tools/cmake/presets").glob("*.cmake"))
        self.assertGreaterEqual(len(presets), 5)
        table = (TREE / "tools/cmake/presets/README.md").read_text()
        for preset in presets:
            self.assertIn(f"`{preset.stem}`", table)
            with tempfile.TemporaryDirectory() as folder:
                script = Path(folder, "preset.cmake")
                script.write_text(f"include({preset})\nget_cmake_property(names CACHE_VARIABLES)\nmessage(STATUS \"${{names}}\")\n")
                said = subprocess.run([CMAKE, "-P", script], capture_output=True, text=True, check=True).stdout
            given = {name for name in said.removeprefix("-- ").strip().split(";") if not name.startswith("CMAKE_")}
            self.assertTrue(given, preset)
            self.assertEqual(given - OPTIONS, set(), preset)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
