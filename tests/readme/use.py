#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Follows the README's section "Use it in your project" exactly: installs, and builds the README's first program in each of
the ways given there; and the program of the section "A C program" as that says.

Usage: use.py SOURCE_TREE WORK_DIR CXX [--installed-from BUILD]  Differences from a user's terminal: the build folder and the
installed files are in WORK_DIR, `sudo` does nothing, Ninja builds, and the compiler cache is used if there is one. With BUILD
nothing is built for the installation: what that folder has built is installed. That takes minutes less.
"""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys


def section(readme, title):
    return re.search(rf"^## {re.escape(title)}\n(.*?)^## ", readme, re.S | re.M).group(1)


def run(command, folder, environment):
    print(f"\n== {command}", flush=True)
    subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=environment, check=True)


def check_output(program, expected):
    output = subprocess.run([str(program)], check=True, capture_output=True, text=True, timeout=60).stdout
    if output != expected:
        sys.exit(f"{program} printed\n{output}\ninstead of\n{expected}")


def fresh(folder):
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tree", type=pathlib.Path)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("cxx")
    parser.add_argument("--installed-from", metavar="BUILD", type=pathlib.Path)
    arguments = parser.parse_args()
    tree, work, cxx = arguments.tree, fresh(arguments.work), arguments.cxx
    readme = (tree / "README.md").read_text()
    code, expected = re.search(r"^```cpp\n(.*?)^```\n```text\n(.*?)^```\n", readme, re.S | re.M).groups()
    blocks = re.findall(r"^```(\w+)\n(.*?)^```\n", section(readme, "Use it in your project"), re.S | re.M)
    if [language for language, _ in blocks] != ["sh", "cmake", "sh", "cmake"]:
        sys.exit(f"the section has other blocks than this test knows: {[language for language, _ in blocks]}")
    install, with_package, with_pkg_config, with_subdirectory = (text for _, text in blocks)

    tools = fresh(work / "bin")
    (tools / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tools / "g++").write_text(f'#!/bin/sh\nexec {cxx} "$@"\n')
    for tool in tools.iterdir():
        tool.chmod(0o755)
    prefix = work / "root/usr/local"
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "CXX": cxx, "DESTDIR": str(work / "root"),
                   "CMAKE_PREFIX_PATH": str(prefix), "CMAKE_GENERATOR": "Ninja", "CCACHE_NOHASHDIR": "1"}
    if shutil.which("ccache"):
        environment["CMAKE_CXX_COMPILER_LAUNCHER"] = "ccache"

    if arguments.installed_from:
        install = f"cmake --install {arguments.installed_from}"
    run(install.replace("build/release", str(work / "release")), tree, environment)
    pc_files = list(prefix.rglob("aiofiber-hooks.pc"))
    environment["PKG_CONFIG_PATH"] = str(pc_files[0].parent)
    del environment["DESTDIR"]

    def project(name, description):
        folder = fresh(work / name)
        (folder / "pages.cc").write_text(code)
        if description:
            (folder / "CMakeLists.txt").write_text(description)
        return folder

    folder = project("package", with_package)
    run("cmake -S . -B build && cmake --build build", folder, environment)
    check_output(folder / "build/pages", expected)

    folder = project("pkg_config", None)
    run(with_pkg_config, folder, environment)
    check_output(folder / "pages", expected)

    c_code, c_expected, c_command = (
        re.search(rf"^```{language}\n(.*?)^```\n", section(readme, "A C program"), re.S | re.M).group(1)
        for language in ("c", "text", "sh"))
    folder = fresh(work / "c")
    (folder / "pages.c").write_text(c_code)
    run(c_command, folder, environment)
    check_output(folder / "pages", c_expected)

    folder = project("subdirectory", with_subdirectory)
    (folder / "aiofiber").symlink_to(tree)
    del environment["CMAKE_PREFIX_PATH"]
    # Several files as one take half the time, and a project may well be built so.
    unity = "-DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=16" if arguments.installed_from else ""
    # aiofiber's headers are the system's for the project, so its own warnings do not stop it.
    strict = "-DCMAKE_CXX_FLAGS='-Wall -Wextra -Wconversion -Wshadow -Werror'"
    run(f"cmake -S . -B build -G Ninja {unity} {strict} && cmake --build build", folder, environment)
    check_output(folder / "build/pages", expected)
    targets = subprocess.run(["ninja", "-C", str(folder / "build"), "-t", "targets", "all"], capture_output=True, text=True,
                             check=True).stdout
    foreign = sorted(set(re.findall(r"^(\w+_(?:test|bench)|example_\w+|aiofiber_command|demo_\w+): phony", targets, re.M)))
    if foreign:
        sys.exit(f"a project that has aiofiber in a folder knows {foreign}")
    built = subprocess.run(["ninja", "-C", str(folder / "build"), "-t", "inputs", "all"], capture_output=True, text=True,
                           check=True).stdout
    others = sorted(set(re.findall(r"aiofiber_(?!runtime\b)\w+(?=\.dir)", built)))
    if others:
        sys.exit(f"a project that has aiofiber in a folder builds {others} too")
    # Only what the libraries need is asked for.
    absent = " ".join(f"-DCMAKE_DISABLE_FIND_PACKAGE_{name}=ON" for name in ("OpenSSL", "GTest", "Python3"))
    run(f"cmake -S . -B little -G Ninja {absent} -DRAPIDJSON_INCLUDE_DIR=RAPIDJSON_INCLUDE_DIR-NOTFOUND", folder, environment)
    run(f"DESTDIR={work / 'nothing'} cmake --install build", folder, environment)
    if list((work / "nothing").rglob("*aiofiber*")):
        sys.exit("a project that has aiofiber in a folder installs it too")
    print("\ninstalled, and used by find_package, by pkg-config and as a folder of a project")


if __name__ == "__main__":
    main()
