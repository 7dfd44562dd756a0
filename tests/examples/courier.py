#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Walks through the courier's faults: the tools name each, each mend is needed, and all together give what the old program gave.

Usage: courier.py EXAMPLE BUILT VARIANTS AIOFIBER   The programs of BUILT: courier, courier_concurrent, courier_mended. Those of
VARIANTS are mended but for one fault. The server makes the requests overlap: the first ones wait for each other, and uploads
and slow pages wait until another task has fetched many pages.
"""
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

EXAMPLE, BUILT, VARIANTS, AIOFIBER = (pathlib.Path(word) for word in sys.argv[1:5])
sys.path.insert(0, str(EXAMPLE))
from server import Server  # noqa: E402 (its folder is known only now)

AT_ONCE = 25  # as in concurrent.diff
KEYS = {"AIOFIBER_TASK_KEYS": "libdigest.so"}
SEARCH = {"AIOFIBER_SHARED_STATE": "1"}


def fail(text):
    sys.exit(f"courier.py: {text}")


def check(fact, text):
    if not fact:
        fail(text)


class Run:
    """A program's run against a server of its own: the lines in their order, the files, and what the server got."""

    def __init__(self, program, folder, jobs, at_once, environment=None, seconds=60, patience=60, idle_limit=None):
        """`at_once`: so many of the jobs overlap."""
        shutil.rmtree(folder / "saved", ignore_errors=True)
        (folder / "saved").mkdir()
        (folder / "jobs").write_text("".join(job + "\n" for job in jobs))
        path = LAST_PAGE if at_once > 1 and MANY_PAGES in jobs else None
        with Server(at_once=at_once, path=path, patience=patience, idle_limit=idle_limit) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            process = start(program, server.port, seconds, folder, environment)
            try:
                self.output, self.errors = process.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                process.kill()
                self.output, self.errors = process.communicate()
                check(idle_limit, f"{program.name} does not end; it wrote {self.output} {self.errors}")
            server.shutdown()
        self.code = process.returncode
        self.files = {path.name: path.read_bytes() for path in sorted((folder / "saved").iterdir())}
        self.requests = sorted(server.requests)
        self.connections = server.connections
        self.overlapped = server.asks.in_time and server.path_is_asked.in_time

    def result(self):
        return sorted(self.output.splitlines()), self.code, self.files, self.requests

    def shares(self, name):
        return f"Shared state: '{name}' in " in self.errors


def start(program, port, seconds, folder, environment=None):
    def limit_descriptors():
        resource.setrlimit(resource.RLIMIT_NOFILE, (90, 90))  # a program that leaves connections open gets into trouble

    return subprocess.Popen([program, str(port), str(seconds), "jobs", "saved"], cwd=folder, env={**os.environ, **(environment or {})},
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit_descriptors)


def make_files(folder):
    source = random.Random(1)
    for name, size in {"big-1": 6_000_000, "big-2": 5_000_000, "big-3": 5_500_000, "small": 20_000}.items():
        (folder / name).write_bytes(source.randbytes(size))


# While a task fetches these, uploads fill all buffers on their way and wait, and so do half of the slow pages.
MANY_PAGES = "get /pages/ " + " ".join(f"page-{i}" for i in range(30))
LAST_PAGE = "/pages/page-29"
FEW_JOBS = ["put /files/x big-1 small", "put /files/y big-2", "post /forms/z name=value other=7", MANY_PAGES, "get /slow/ a b",
            "get /busy/ c d"]


def many_jobs():
    jobs = ["put /files/1 big-1", "put /files/2 big-2 small", "put /files/3 big-3", MANY_PAGES, "get /slow/ a b"]
    for i in range(32):
        jobs += [f"get /pages/ a{i} b{i} c{i}", f"post /forms/{i} form={i} more={i * i}", f"put /files/small-{i} small"]
    return jobs + [f"get /busy/ once-{i}" for i in range(8)]


def test_readme(folder):
    """It shows both diffs as they are, the second one in parts."""
    readme = (EXAMPLE / "README.md").read_text()
    check(f"```diff\n{(EXAMPLE / 'concurrent.diff').read_text()}```\n" in readme, "the README does not show concurrent.diff")
    for part in re.split(r"^@@.*\n", (EXAMPLE / "mended.diff").read_text(), flags=re.MULTILINE)[1:]:
        check(part in readme, f"the README does not show this part of mended.diff:\n{part}")


def test_check(folder):
    """Before anything is changed."""
    text = subprocess.run([AIOFIBER, "hooks", "--check", BUILT / "courier"], capture_output=True, text=True, check=True).stdout
    for variable in ("method", "kept", "chunk", "received", "retries_left"):
        check(f"  {variable} in courier.c, " in text, f"hooks --check does not name {variable}:\n{text}")
    check("too_late in" not in text, f"hooks --check names a sigjmp_buf, which is kept for each task:\n{text}")
    for function in ("strtok", "printf", "alarm", "pthread_key_create"):
        check(f"\n  {function}\n" in text, f"hooks --check does not name {function}:\n{text}")


def test_equal(folder):
    """The mended program does what the old one did, in 25 tasks, and nothing is reported."""
    jobs = many_jobs()
    old = Run(BUILT / "courier", folder, jobs, 1)
    check(old.code == 0 and old.connections == 1 and not old.errors, f"the old program: {old.output} {old.errors}")
    check(len(old.output.splitlines()) == len(old.requests) - 8 + 1, f"the old program: {old.output}")
    for environment in ({}, SEARCH, {"AIOFIBERDEBUG": "1"}):
        new = Run(BUILT / "courier_mended", folder, jobs, AT_ONCE, {**KEYS, **environment})
        check(new.overlapped, f"the mended program has not {AT_ONCE} requests at once")
        check(new.errors == "", f"the mended program with {environment}: {new.errors}")
        check(new.connections == len(jobs), f"{new.connections} connections for {len(jobs)} jobs")
        check(new.result() == old.result(), f"with {environment} it wrote {new.output}, not {old.output}")


def test_each_is_found_and_needed(folder):
    """The tools' reports, in a first run of six tasks, and wrong results without a mend."""
    old = Run(BUILT / "courier", folder, FEW_JOBS, 1)

    def run(fault, environment, jobs=FEW_JOBS, patience=2):
        program = BUILT / fault if fault.startswith("courier_") else VARIANTS / f"courier_{fault}"
        return Run(program, folder, jobs, len(jobs), environment, seconds=patience + 3, patience=patience, idle_limit=2 * patience)

    def search_for(variables, fault):
        """A machine that is busy may need more time to make the requests overlap."""
        for patience in (2, 8, 30):
            found = run(fault, {**KEYS, **SEARCH}, patience=patience)
            if all(found.shares(variable) for variable in variables):
                break
        return found

    def run_at_once(fault, environment):
        """The same for a run in which all requests must overlap."""
        for patience in (2, 8, 30):
            result = run(fault, environment, patience=patience)
            if result.overlapped:
                break
        return result

    naive = search_for(("kept", "method"), "courier_concurrent")
    for variable in ("kept", "method"):
        check(naive.shares(variable), f"the search does not find {variable} at first: {naive.errors}")
    for fault in ("method", "kept", "chunk", "received"):
        unmended = search_for((fault,), fault)
        check(unmended.shares(fault), f"the search does not find {fault}: {unmended.errors} {unmended.output}")
        check(unmended.errors.count("Shared state: ") == unmended.errors.count(f"Shared state: '{fault}' in "),
              f"the search finds more than {fault}: {unmended.errors}")
        check(unmended.result() != old.result(), f"{fault} need not be mended")
    debug = run("kept", {**KEYS, "AIOFIBERDEBUG": "1"}).errors
    check("closes descriptor" in debug or "which is another one than when it used it last" in debug, f"debug mode: {debug}")
    line = run_at_once("line", {**KEYS, **SEARCH})
    check(line.errors.count("Shared state: ") == 1 and line.errors.count("the output stream 'stdout'") == 1 and
          "wrote \"PUT /files/x\", which is no whole line" in line.errors, f"the search does not find the line: {line.errors}")
    check(line.result() != old.result(), "line need not be mended")
    words = run_at_once("words", {**KEYS, **SEARCH})
    check(words.errors == "", f"words: the README says that the search does not find it: {words.errors}")
    check(words.result() != old.result(), "words need not be mended")
    keys = run_at_once("courier_mended", SEARCH)
    check(keys.errors == "", f"the README says that the search finds nothing without the keys: {keys.errors}")
    check(keys.result() != old.result(), "AIOFIBER_TASK_KEYS is not needed")
    check([line.split()[:3] for line in sorted(keys.output.splitlines())] ==
          [line.split()[:3] for line in sorted(old.output.splitlines())], f"more than checksums is wrong: {keys.output}")


def test_instrumented(folder):
    """The search in the program compiled with aiofiber::instrumented: nothing but what is wrong."""
    jobs = many_jobs()
    old = Run(BUILT / "courier", folder, jobs, 1)
    new = Run(VARIANTS / "courier_mended_instrumented", folder, jobs, AT_ONCE, {**KEYS, **SEARCH})
    check(new.errors == "", f"the mended program, instrumented: {new.errors}")
    check(new.result() == old.result(), f"instrumented it wrote {new.output}, not {old.output}")
    for fault, variable in (("method", "method"), ("kept", "kept"), ("chunk", "chunk"), ("received", "received"),
                            ("words", "place_of_strtok")):
        for patience in (2, 8, 30):
            found = Run(VARIANTS / f"courier_{fault}_instrumented", folder, FEW_JOBS, len(FEW_JOBS), {**KEYS, **SEARCH},
                        seconds=patience + 3, patience=patience, idle_limit=2 * patience)
            if found.shares(variable):
                break
        check(found.shares(variable), f"the instrumented program does not find {variable}: {found.errors} {found.output}")
        check(found.errors.count("Shared state: ") == found.errors.count(f"Shared state: '{variable}' in "),
              f"the instrumented program finds more than {variable}: {found.errors}")


def test_connections_are_closed(folder):
    """25 tasks at a time need few descriptors."""
    jobs = [f"get /pages/ page-{i}" for i in range(100)]
    closed, left_open = (Run(program, folder, jobs, AT_ONCE, KEYS).output
                         for program in (BUILT / "courier_mended", VARIANTS / "courier_closed"))
    check("failed" not in closed, f"the mended program runs out of descriptors: {closed}")
    check("failed" in left_open, "the connection need not be closed at the end of a task")


def test_time_limit(folder):
    """alarm() and siglongjmp() in tasks, without a change."""
    jobs = [f"get /never/ {i}" for i in range(3)]
    old = Run(BUILT / "courier", folder, jobs, 1, seconds=1)
    new = Run(BUILT / "courier_mended", folder, jobs, 1, {**KEYS, **SEARCH}, seconds=1)
    check(old.output.count("timed out") == 3 and new.result() == old.result() and not new.errors,
          f"it wrote {new.output} {new.errors}, not {old.output}")


def test_limit_of_retries(folder):
    """10 in a run, also in 25 tasks."""
    jobs = [f"get /closed/ {i}" for i in range(AT_ONCE)]
    old, new, unmended, per_task = (len(Run(program, folder, jobs, at_once, KEYS).requests) for program, at_once in (
        (BUILT / "courier", 1), (BUILT / "courier_mended", AT_ONCE), (VARIANTS / "courier_retries", AT_ONCE),
        (VARIANTS / "courier_limit", AT_ONCE)))
    check((old, new) == (len(jobs) + 10, len(jobs) + 10), f"{old} requests before, {new} after")
    search = Run(VARIANTS / "courier_retries", folder, jobs, AT_ONCE, {**KEYS, **SEARCH}).errors
    check(search == "", f"the README says that the search does not find retries_left: {search}")
    check(unmended > new, f"{unmended} requests with the count after the wait")
    check(per_task == len(jobs) * 11, f"{per_task} requests with a limit per task")


def test_ctrl_c(folder):
    """While nobody listens: the loop that tries again must end."""
    (folder / "jobs").write_text("".join(f"get /pages/ {i}\n" for i in range(5)))
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        for program, is_mended in ((BUILT / "courier_mended", True), (VARIANTS / "courier_cancelled", False)):
            process = start(program, nobody.getsockname()[1], 60, folder, KEYS)
            try:
                errors = [process.stderr.readline() for _ in range(10)]
                check(all("Connection refused; trying again" in line for line in errors), f"it wrote {errors}")
                process.send_signal(signal.SIGINT)
                output, rest = process.communicate(timeout=60)
            finally:
                process.kill()
            errors = rest.splitlines()
            abandoned = [line for line in errors if "abandoned" in line]
            cancelled = [line for line in errors if "Operation canceled; trying again" in line]
            check(errors[-1:] == ["courier: interrupted by Ctrl-C"] and process.returncode == 1,
                  f"after Ctrl-C: {errors}, {process.returncode}")
            if is_mended:
                check(not abandoned and not cancelled and output.count(" failed\n") == 5, f"after Ctrl-C: {output} {errors}")
            else:
                check(len(abandoned) == 5 and cancelled, f"after Ctrl-C: {errors}")


def main():
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        make_files(folder)
        for test in tests:
            begin = time.monotonic()
            test(folder)
            print(f"{test.__name__}: {time.monotonic() - begin:.1f} s", flush=True)


if __name__ == "__main__":
    main()
