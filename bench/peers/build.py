# SPDX-License-Identifier: Apache-2.0
"""Builds the peers of the race. Each on its own: one that is missing or fails is reported and left out. No network is used."""
import os
import shutil
import subprocess
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]
SOURCE = TREE / "bench/peers"
BUILD = TREE / "build/race"


class Failure(Exception):
    """Why a peer takes no part, in one line."""


def first_of(*paths):
    """The first program that there is: Debian's, before another in PATH. Debian's packages are made for Debian's."""
    return next((path for path in paths if shutil.which(path)), None)


PYTHON = first_of("/usr/bin/python3", "python3")


def fill(text):
    return text.format(build=BUILD, source=SOURCE, python=PYTHON)


def run(command, log, **options):
    """Runs a build command into a log; Failure with the log's telling line."""
    with open(log, "a", encoding="utf-8") as output:
        status = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, check=False, **options)
    if status.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        telling = next((line for line in lines if "error" in line), lines[-1] if lines else "no output")
        raise Failure(f"{telling.strip()[:160]} ({log.relative_to(TREE)})")


def configure(log):
    run(["cmake", "-S", TREE, "-B", BUILD, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_COMPILER=g++",
         *(["-DCMAKE_CXX_COMPILER_LAUNCHER=ccache"] if shutil.which("ccache") else []), "-DAIOFIBER_PEERS=ON",
         "-DAIOFIBER_BENCH=ON", "-DAIOFIBER_TESTS=OFF", "-DAIOFIBER_EXAMPLES=OFF", "-DAIOFIBER_COMMAND=OFF", "-DAIOFIBER_SANITIZE=",
         "-DAIOFIBER_WARNINGS_AS_ERRORS=OFF"], log)  # with -O3, g++ 12 warns of what is not there


def cmake_targets(targets, log):
    known = subprocess.run(["ninja", "-C", BUILD, "-t", "targets", "all"], capture_output=True, text=True, check=False).stdout
    for target in targets:
        if f"{target}:" not in known:
            raise Failure("its library is not installed")
    run(["cmake", "--build", BUILD, "--target", *targets], log)


def go_programs(log):
    go = first_of("/usr/bin/go", "go")
    if go is None:
        raise Failure("go is not installed")
    environment = {**os.environ, "GOCACHE": str(BUILD / "go-cache"), "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GO111MODULE": "on"}
    run([go, "build", "-o", BUILD / "peer_go", "."], log, cwd=SOURCE / "go", env=environment)
    run([go, "build", "-o", BUILD / "hello_go", "."], log, cwd=SOURCE / "hello/go", env=environment)


def cargo_programs(log):
    cargo, rustc = first_of("/usr/bin/cargo", "cargo"), first_of("/usr/bin/rustc", "rustc")
    if cargo is None or rustc is None:
        raise Failure("cargo is not installed")
    folder = BUILD / "tokio"
    shutil.copytree(SOURCE / "tokio", folder, dirs_exist_ok=True)  # cargo writes Cargo.lock beside the sources
    environment = {**os.environ, "CARGO_HOME": str(BUILD / "cargo"), "RUSTC": rustc}
    run([cargo, "build", "--release", "--offline"], log, cwd=folder, env=environment)


def python_module(module, log):
    if PYTHON is None:
        raise Failure("python3 is not installed")
    run([PYTHON, "-c", f"import {module}"], log)


def build(peer):
    """Builds what the peer's `target` names."""
    kind, *names = peer.target.split()
    log = BUILD / f"{peer.name.replace(' ', '-')}.log"
    log.write_text("", encoding="utf-8")
    {"cmake": lambda: cmake_targets(names, log), "go": lambda: go_programs(log), "cargo": lambda: cargo_programs(log),
     "python": lambda: python_module(names[0], log)}[kind]()


def version(peer):
    """The versions of the peer's Debian packages, where there are any."""
    if not peer.packages or not shutil.which("dpkg-query"):
        return ""
    shown = subprocess.run(["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *peer.packages.split()],
                           capture_output=True, text=True, check=False).stdout
    return ", ".join(shown.split("\n")[:-1])
