#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks the house rules that a compiler does not: floors, seams, opening comments, headers that stand alone.

The rules are the tables below; the code after them only applies them. Each finding is one line,
`file:line: [rule] what is wrong and what to do`. Code that must break a rule has a comment with the reason on its line or
the line above: `// tidy-allow(syscall): must stay async-signal-safe`.

  tidy.py                check the tree (exit 1 if anything is found)
  tidy.py --write        also rewrite the generated tables: differences in facade/README.md, names in runtime/hooks/README.md
  tidy.py --self-test    plant one fault for each rule in a made-up tree and see each found
"""
import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# ---------------------------------------------------------------------------------------------------- the rules

# The floors of the tree from bottom to top. Each floor has folders, and for each folder the names of its files without their
# ending, or `*` for all files. A file may include its own floor and the floors below, never a floor above. A public header
# belongs to the folder of its source: runtime/aiofiber/runtime/engine/fiber.h to runtime/engine, facade/aiofiber/task.h to
# the folder of facade/ that lists `task`.
FLOORS = [
    ("seams", {
        "runtime/engine": "config assert sanitizer_match context_names abi saturating decimals intrusive runnable clock choice network real_network static_program syscall socket_syscall process_syscall exec_child reactor",
        "runtime/arch": "arch",
        "runtime/arch/x86_64": "machine hints registers jump saved_context",
        "runtime/arch/aarch64": "machine hints registers jump saved_context",
        "runtime/arch/other": "machine hints registers jump saved_context"}),
    ("reading", {  # of memory, tables and files, with no fiber at hand
        "runtime/inspect": "registry registry_abi wait_kind lock_owner function_name source_line fold_repeats libdw libdw_linked debug_file debug_info"
                           " process_modules system_call core_wait output_file regular_file utf8 symbolize symbolize_lock table_bytes call_frame"
                           " exception_table unwind coroutine_walk call_list throw_trace exception_owners module_symbols static_variable",
        "runtime/arch": "frame_rule frame_code landing_pad throw_entry elf call_code dwarf_registers stepping",
        "runtime/arch/x86_64": "frame_rule landing_pad throw_entry elf call_code dwarf_registers stepping control_flow",
        "runtime/arch/aarch64": "instruction frame_rule landing_pad throw_entry elf call_code dwarf_registers stepping",
        "runtime/arch/other": "frame_rule landing_pad throw_entry elf call_code dwarf_registers stepping"}),
    ("fibers", {
        "runtime/engine": "stack timer_heap inbox memory_reserve epoll_refusals fiber at_fork switch switch_watch task_values per_task leak_roots",
        "runtime/inspect": "traceback",
        "runtime/trace": "*"}),
    ("loops", {
        "runtime/engine": "scheduler overflow",
        "runtime/inspect": "thread_sample task_dump"}),
    ("waits", {
        "runtime/engine": "parker fd_wait child_wait offload reactor_libev make_scheduler abi_layout",
        "runtime/inspect": "watchdog dump_on_signal held_locks descriptor_use",
        "runtime/shared_state": "*", "runtime/shared_state/instrumented": "*"}),
    ("hooks: core", {"runtime/hooks/core": "*"}),
    ("hooks: what libc's objects hold", {"runtime/hooks/glibc": "*"}),
    ("hooks: locks", {"runtime/hooks/locks": "*"}),
    ("hooks: stdio", {"runtime/hooks/stdio": "*"}),
    ("hooks", {f"runtime/hooks/{room}": "*" for room in ("files", "names", "net", "process", "time")}),

    ("words", {
        "facade/core": "fwd source_trace uncaught_interrupt exceptions exception_group copyable result duration log text thread_wait one_by_one"
                       " rare_text repr standard_streams"}),
    ("loop", {"facade/core": "context post_pool handle callback_table loop_core thread_gate event_loop guest absl"}),
    ("futures", {"facade/core": "future_base future"}),
    ("tasks", {
        "facade/tasks": "deadlock task_core task task_cancel task_wait task_stack exception_context await coroutine awaitable"
                        " not_awaitable sleep coro coro_chain kept_place coro_awaiter co_await foreign stackless frame_pool task_local"}),
    ("sync", {"facade/sync": "ring wait_queue lock event condition semaphore barrier queue"}),
    ("combinators", {
        "facade/combinators": "range watch cancel_walk gather wait wait_for as_completed shield timeout task_group"
                              " async_generator"}),
    ("threads", {"facade/threads": "threads executor concurrent ignored_cancellation runner"}),
    ("C", {"facade": "aiofiber", "facade/c": "*"}),
    ("sockets", {"facade/sockets": "socket wait_fd idna resolve file_to_send sock_calls connect"}),
    ("streams", {"facade/streams": "byte_buffer fd_watch write_buffer protocols transports stream_transport socket_transport stream_reader stream_protocol"
                 " stream_writer socket_file server server_group endpoints ssl tls_factory start_tls sendfile streams datagram descriptor pipe_transport pipes"}),
    ("tls", {"facade/tls": "*"}),
    ("processes", {"facade/subprocess": "subprocess spawn child process run subprocess_protocol subprocess_transport"}),
    ("cores", {"facade/workers": "channel workers"}),
    ("debug", {"facade/debug": "debug debug_graph stacks testing schedule explore books gtest asyncio"}),
    ("simulation", {"facade/simulation": "simulation *"}),
]

# (file, the header from a floor above, the reason). Only for a line that cannot be elsewhere.
FLOOR_EXCEPTIONS = [
    ("facade/core/event_loop.cc", "facade/aiofiber/exception_context.h", "reports name the future or task concerned"),
    ("facade/core/handle.cc", "facade/aiofiber/exception_context.h", "reports name the future or task concerned"),
    ("facade/core/loop_core.cc", "facade/aiofiber/exception_context.h", "reports name the future or task concerned"),
    ("facade/core/future_base.cc", "facade/aiofiber/exception_context.h", "reports name the future or task concerned"),
    ("facade/core/future_base.cc", "facade/aiofiber/task.h", "reports hand out the dying future as a handle, which may be a task's"),
    ("runtime/hooks/core/real.cc", "runtime/hooks/stdio/stdio_switch.h", "what is done once when the hooks are loaded"),
    ("runtime/hooks/core/real.cc", "runtime/hooks/locks/lock_queue.h", "what is done once when the hooks are loaded"),
    ("runtime/engine/per_task.cc", "runtime/aiofiber/per_task.h", "works in programs without hooks, too"),
]

# (pattern of the included name, files that may include it, why). Applies to runtime/ and facade/.
INCLUDE_RULES = [
    (r"ev\.h|ev\+\+\.h", r"runtime/engine/reactor_libev\.cc", "only reactor_libev.cc knows libev"),
    (r"boost/context/.*", r"runtime/engine/fiber\.cc", "only fiber.cc knows Boost.Context"),
    (r"elfutils/.*", r"runtime/inspect/(libdw|debug_info|debug_file|process_modules)\.h", "programs do not link libdw: call its functions"
     " through inspect/libdw.h"),
    (r"openssl/.*", r"facade/tls/.*", "only facade/tls knows OpenSSL: programs without TLS do not load it"),
    (r"boost/.*|dlfcn\.h", r".*\.cc", "third-party and loader headers stay out of headers"),
    (r"absl/.*", r"(?!(runtime|facade)/aiofiber/).*|facade/aiofiber/absl\.h", "who includes a public header does not pay for abseil:"
     " keep it in the source, or say why with tidy-allow(include)"),
]

# Headers that take long to compile; public headers must not include them.
HEAVY_HEADERS = {"ranges", "random", "map", "iostream", "regex"}

SYSCALLS = (
    "mmap munmap mremap madvise mprotect read readv pread write writev pwrite recv recvfrom recvmsg send sendto sendmsg "
    "accept accept4 connect bind listen socket socketpair poll ppoll select pselect epoll_create1 epoll_ctl epoll_wait "
    "epoll_pwait eventfd eventfd_read eventfd_write timerfd_create timerfd_settime pipe pipe2 dup dup2 dup3 close")

# (rule, pattern of code, files that are its seam, what to use instead). Applies to runtime/ and facade/ without
# facade/examples; the rules of RULES_FOR_ALL apply everywhere. Comments and strings do not count.
SEAM_RULES = [
    ("clock", r"\bclock_gettime\b|\bsteady_clock::now\b|\bsystem_clock\b|\bhigh_resolution_clock\b|\bgettimeofday\b|\bread_counter\b",
     r"runtime/(aiofiber/runtime/)?engine/clock\.(h|cc)|runtime/aiofiber/runtime/arch/.*|runtime/hooks/time/time\.cc|facade/simulation/libc_names\.cc", "take the time from engine/clock.h, so that it can be virtual"),
    ("random", r"#\s*include\s*<random>|(?<![\w.>])s?rand(om)?\s*\(|\brandom_device\b|\bmt19937|\bgetrandom\s*\(",
     r"runtime/(aiofiber/runtime/)?engine/choice\.(h|cc)|facade/simulation/libc_names\.cc", "ask engine/choice.h, so that a seed repeats the run"),
    ("sleep", r"\bsleep_(for|until)\s*\(|\b(usleep|nanosleep|clock_nanosleep)\s*\(|(?<![\w>.:])::sleep\s*\(",
     r"runtime/(aiofiber/runtime/)?engine/clock\.(h|cc)|runtime/hooks/.*", "nothing of ours sleeps: arm a timer"),
    ("syscall", r"(?<![\w>])::(" + "|".join(SYSCALLS.split()) + r")\s*\(|(?<![\w.>:])(::)?syscall\s*\((?!\s*SYS_gettid)",
     r"runtime/(aiofiber/runtime/)?engine/(socket_|process_)?syscall\.(h|cc)|runtime/hooks/.*|facade/simulation/real_calls\.h",
     "call it through engine/syscall.h, so that tests can make it fail"),
    ("deadline", r"\b(\w*deadline\w*|when_?|until)(\(\))?(\.time_since_epoch\(\)(\.count\(\))?)?\s*-(?![-=>])"
     r"|(?<![-\w>])-\s*([\w.]+(\.|->))?\w*deadline\w*\b",
     r"runtime/aiofiber/runtime/engine/saturating\.h", "a deadline may be any number: ask engine/saturating.h, time_until()"),
    ("processor", r"\b(__x86_64__|__i386__|__aarch64__|__arm__|__riscv|EM_(X86_64|AARCH64)|R_(X86_64|AARCH64)_\w+|REG_R\w+"
     r"|\w*rdtscp?|\w*_ia32_\w+|[ix]\w*86intrin)\b", r"runtime/(aiofiber/runtime/)?arch/.*|tests/.*",
     "what differs between processors is in runtime/arch/: ask arch.h"),
    ("getenv", r"\bgetenv\b", r"tests/.*", "use secure_getenv(), which gives a stranger's variables to no privileged program"),
]
# Rules that also apply to tools, benchmarks and examples: they may run privileged, or users may copy them.
RULES_FOR_ALL = {"getenv", "processor"}

SPDX = "SPDX-License-Identifier: Apache-2.0"
OPENING_LINES = {".h": (3, 15), ".cc": (1, 15)}    # lines of text in the comment that opens a file of runtime/ or facade/
COLUMNS = 110    # as in .clang-format, which does not break strings and tables
DIFFERS_BEGIN, DIFFERS_END = "<!-- differs:begin -->", "<!-- differs:end -->"
NAMES_BEGIN, NAMES_END = "<!-- names:begin -->", "<!-- names:end -->"
HOOKED_NAMES = "runtime/hooks/core/hooked_names.inc"
COMPILE_FLAGS = ["-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-x", "c++"]

CODE_FOLDERS = ["runtime", "facade", "tests", "tools", "bench"]
INCLUDE_ROOTS = ["runtime", "facade"]

# ---------------------------------------------------------------------------------------------------- the tree


class Source:
    """One file: its path in the repository, its text, and its text with comments and strings blanked out."""

    def __init__(self, root, path):
        self.path = path
        self.text = (root / path).read_text(encoding="utf-8", errors="replace")
        self.lines = self.text.split("\n")
        self.code = blank_comments_and_strings(self.text)
        self.is_header = path.endswith(".h")
        self.is_product = path.startswith(("runtime/", "facade/")) and not path.startswith("facade/examples/")
        self.is_public = any(path.startswith(f"{folder}/aiofiber/") for folder in INCLUDE_ROOTS) and self.is_header

    def includes(self):
        """(line number, name) of each #include."""
        for number, line in enumerate(self.lines, 1):
            found = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
            if found:
                yield number, found.group(1)

    def allows(self, line, rule):
        """Whether a tidy-allow comment with a reason excuses the line."""
        near = self.lines[max(0, line - 2):line]
        return any(re.search(rf"tidy-allow\({rule}\):\s*\S", text) for text in near)


def blank_comments_and_strings(text):
    """The same text, comments and the insides of literals replaced by spaces; positions and lines stay."""
    token = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<raw>[^(\s]*)\(.*?\)(?P=raw)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'', re.S)
    # The name in an #include is kept, because rules search for it.
    keep = {m.start(1) for m in re.finditer(r'^\s*#\s*include\s*("[^"\n]*")', text, re.M)}
    return token.sub(lambda m: m.group(0) if m.start() in keep else re.sub(r"[^\n]", " ", m.group(0)), text)


def load(root):
    paths = []
    for folder in CODE_FOLDERS:
        for directory, subfolders, names in os.walk(root / folder):
            subfolders[:] = sorted(name for name in subfolders if name not in ("build", "__pycache__"))
            paths += [Path(directory, name).relative_to(root).as_posix()
                      for name in sorted(names) if name.endswith((".h", ".cc"))]
    return [Source(root, path) for path in paths]


# ---------------------------------------------------------------------------------------------------- the checks
# Each takes the sources and yields (path, line, rule, message).


def floor_of():
    """{(folder, name): (number of the floor, its name)}; the name is * if the whole folder is on one floor."""
    return {(folder, name): (number, floor) for number, (floor, folders) in enumerate(FLOORS)
            for folder, names in folders.items() for name in names.split()}


ROOM_OF_HEADER = {name: folder for _, folders in FLOORS for folder, names in folders.items() if folder.startswith("facade/")
                  for name in names.split()}


def floor_key(path, floors):
    """The key of a file in floor_of(), or None if the table does not have it."""
    folder, name = os.path.dirname(path), Path(path).stem
    folder = folder.replace("runtime/aiofiber/runtime", "runtime").replace("runtime/aiofiber", "runtime/hooks/core")
    if folder == "facade/aiofiber":
        folder = ROOM_OF_HEADER.get(name)
    return next((key for key in ((folder, name), (folder, "*")) if key in floors), None)


def resolve(including, name, known):
    """The repository path that an include names, or None for a system header."""
    beside = os.path.normpath(os.path.join(os.path.dirname(including), name))
    for candidate in [beside] + [f"{folder}/{name}" for folder in INCLUDE_ROOTS]:
        if candidate in known:
            return candidate
    return None


def check_floors(sources):
    known = {source.path for source in sources}
    floors = floor_of()
    excepted = {(path, target) for path, target, _ in FLOOR_EXCEPTIONS}
    for source in sources:
        if not source.is_product:
            continue
        key = floor_key(source.path, floors)
        if key is None:
            yield source.path, 1, "floor", "lives nowhere: add it to its folder's line of FLOORS in tools/tidy.py"
            continue
        own_number, own_floor = floors[key]
        for line, name in source.includes():
            target = resolve(source.path, name, known)
            if target is None or not target.startswith(("runtime/", "facade/")) or (source.path, target) in excepted:
                continue
            target_key = floor_key(target, floors)
            if target_key and floors[target_key][0] > own_number:
                yield (source.path, line, "floor",
                       f"the floor `{own_floor}` includes {name} of `{floors[target_key][1]}`: down or sideways, never up")


def check_includes(sources):
    for source in sources:
        for line, name in source.includes():
            if source.is_product:
                for pattern, allowed, why in INCLUDE_RULES:
                    if (re.fullmatch(pattern, name) and not re.fullmatch(allowed, source.path)
                            and not source.allows(line, "include")):
                        yield source.path, line, "include", f"<{name}>: {why}"
            if source.is_public and name in HEAVY_HEADERS:
                yield source.path, line, "include", f"<{name}> is too heavy for a public header"


def check_seams(sources):
    for source in sources:
        for rule, pattern, seam, remedy in SEAM_RULES:
            if re.fullmatch(seam, source.path) or not (source.is_product or rule in RULES_FOR_ALL):
                continue
            for found in re.finditer(pattern, source.code):
                line = source.code.count("\n", 0, found.start()) + 1
                if not source.allows(line, rule):
                    yield source.path, line, rule, f"{found.group(0).strip()}: {remedy}"


def opening_comment(source):
    """The lines of text in the comment that opens the file, after the SPDX line, without its example (indented by four)."""
    text = []
    for line in source.lines[1:]:
        found = re.match(r"\s*(//|/?\*)\s?(.*)", line)
        if not found:
            break
        if found.group(2).strip(" */") and not (source.is_public and line.startswith("//     ")):
            text.append(found.group(2).strip())
        if "*/" in line:
            break
    return text


def check_openings(sources):
    for source in sources:
        if SPDX not in source.lines[0]:
            yield source.path, 1, "spdx", f"the first line must be: // {SPDX}"
            continue
        least, most = OPENING_LINES[Path(source.path).suffix] if source.is_product else (1, 40)
        count = len(opening_comment(source))
        if not least <= count <= most:
            yield (source.path, 2, "opening",
                   f"the opening comment has {count} lines; {least} to {most} must say what the file is for")


def check_text(sources):
    for source in sources:
        for number, line in enumerate(source.lines, 1):
            if len(line) > COLUMNS:
                yield source.path, number, "columns", f"{len(line)} columns; at most {COLUMNS}: run clang-format -i"
            if re.match(r"\s*//.*\bLabels: ", line) and not re.match(r"// Labels: [a-z ]+$", line):
                yield source.path, number, "labels", "a line of its own, `// Labels: threads slow`, or CMake does not see it"
            if re.search(r"\bTODO\b(?!\([a-z][a-z -]*\))", line):
                yield source.path, number, "todo", "write TODO(kind): perf, correctness, api, ..."
        if not source.path.startswith("tests/") and source.is_header:
            for found in re.finditer(r"\busing\s+namespace\b", source.code):
                yield (source.path, source.code.count("\n", 0, found.start()) + 1, "using",
                       "no `using namespace` in a header")


# ---------------------------------------------------------------------------------------------------- differences


def name_of_declaration(line):
    """The name that a line of code declares, for the table; empty if it is not recognised."""
    for pattern, form in [(r"\b(?:class|struct|enum(?: class)?|concept)\s+(?:\[\[[^\]]*\]\]\s*)*(\w+)", "{}"),
                          (r"\b(operator\s*\S+?)\s*\(", "{}"), (r"(~?\w+)\s*\(", "{}()"), (r"(\w+)\s*[=;{]", "{}")]:
        found = re.search(pattern, re.sub(r"\[\[.*?\]\]|\b(?:noexcept|requires|explicit)\s*\([^)]*\)", "", line))
        if found:
            return form.format(found.group(1))
    return ""


def differences(sources):
    """(header, name, text) of each `Differs from asyncio:` note in a public header of the facade."""
    for source in sources:
        if not source.path.startswith("facade/aiofiber/") or not source.is_header:
            continue
        for index, line in enumerate(source.lines):
            found = re.search(r"//.*?\bDiffers from asyncio:\s*(.*)", line)
            if not found:
                continue
            text = [found.group(1).strip()]
            after = index + 1
            while after < len(source.lines):
                more = re.match(r"\s*///?\s?(.*)", source.lines[after])
                ended = not more or not more.group(1).strip() or re.match(
                    r"\s*\*?(Lifetime|Threads|Cancellation|Errors|Source)\*?:|.*Differs from asyncio:", more.group(1))
                if ended:
                    break
                text.append(more.group(1).strip())
                after += 1
            while after < len(source.lines) and re.match(r"\s*(//.*|template\b.*>\s*|requires\b.*|)$", source.lines[after]):
                after += 1
            declared = source.lines[after] if after < len(source.lines) else ""
            name = "" if re.match(r"\s*#", declared) else name_of_declaration(declared)
            yield Path(source.path).relative_to("facade/aiofiber").as_posix(), name, " ".join(text)


def differences_table(sources):
    rows = ["| header | name | differs from asyncio |", "|---|---|---|"]
    for header, name, text in differences(sources):
        escaped = text.replace("|", "\\|")
        rows.append(f"| `{header}` | {f'`{name}`' if name else ''} | {escaped} |")
    return "\n".join(rows) if len(rows) > 2 else "No header has a `Differs from asyncio:` note yet."


def check_table(root, path, rule, begin, end, table, write):
    """The text between the marks of a README is the table; with `write` it is made so."""
    readme = root / path
    text = readme.read_text(encoding="utf-8") if readme.exists() else ""
    found = re.search(re.escape(begin) + r"\n(.*?)\n?" + re.escape(end), text, re.S)
    if not found:
        yield path, 1, rule, f"has no table between {begin} and {end}"
    elif found.group(1).strip() != table:
        if write:
            readme.write_text(text[:found.start(1)] + table + "\n" + text[found.end(1):].lstrip("\n"), encoding="utf-8")
        else:
            yield path, text.count("\n", 0, found.start()) + 1, rule, "the table is stale: run tools/tidy.py --write"


def check_differences(root, sources, write):
    if (root / "facade/README.md").exists() or any(True for _ in differences(sources)):
        yield from check_table(root, "facade/README.md", "differs", DIFFERS_BEGIN, DIFFERS_END, differences_table(sources), write)


# ---------------------------------------------------------------------------------------------------- hooked names


def hooked_names_table(text):
    """The README's table, from the lines of hooked_names.inc: a row for each file that takes names of libc."""
    rows = []
    for line in re.finditer(r'^HOOKS_IN\("([^"]*)",\s*"([^"]*)"\)|^(?:HOOK\w*|SECOND_NAME)\((always|on_request), (\w+)', text, re.M):
        file, what, when, name = line.groups()
        if file:
            rows.append((file, what, {"always": [], "on_request": []}))
        elif rows:
            rows[-1][2][when].append(name)
    table = ["| file | names | in a task |", "|---|---|---|"]
    for file, what, names in rows:
        lists = [prefix + f"`{' '.join(names[when])}`" for when, prefix in (("always", ""), ("on_request", "on request: "))
                 if names[when]]
        if lists:
            table.append(f"| `{file}` | {'; '.join(lists)} | {what} |")
    return "\n".join(table)


def check_hooked_names(root, write):
    if (root / HOOKED_NAMES).exists():
        table = hooked_names_table((root / HOOKED_NAMES).read_text(encoding="utf-8"))
        yield from check_table(root, "runtime/hooks/README.md", "names", NAMES_BEGIN, NAMES_END, table, write)


# ---------------------------------------------------------------------------------------------------- headers alone


def closure_digest(path, by_path, flags):
    """A digest of the header and of all our files that it includes, directly or indirectly."""
    seen, pending = set(), [path]
    while pending:
        current = pending.pop()
        if current not in seen:
            seen.add(current)
            targets = (resolve(current, name, by_path) for _, name in by_path[current].includes())
            pending += [target for target in targets if target]
    digest = hashlib.sha256(" ".join(flags).encode())
    for name in sorted(seen):
        digest.update(name.encode() + b"\0" + by_path[name].text.encode())
    return digest.hexdigest()


def check_headers_alone(root, sources, compiler, cache_file):
    """Compiles each public header alone. It skips headers that a source includes first, because the build has compiled them
    alone, and headers that passed before and are unchanged, with their includes."""
    by_path = {source.path: source for source in sources}
    built_first = {target for source in sources if source.path.endswith(".cc")
                   for _, name in list(source.includes())[:1] if (target := resolve(source.path, name, by_path))}
    flags = [compiler] + COMPILE_FLAGS + [f"-I{folder}" for folder in INCLUDE_ROOTS]
    try:
        cache = json.loads(cache_file.read_text()) if cache_file else {}
    except (OSError, ValueError):
        cache = {}
    digests = {source.path: closure_digest(source.path, by_path, flags) for source in sources
               if source.is_public and source.path not in built_first}
    stale = [path for path, digest in digests.items() if cache.get(path) != digest]

    def compile_alone(path):
        name = path.split("/", 1)[1]
        return subprocess.run(flags + ["-"], cwd=root, input=f"#include <{name}>\n", text=True, capture_output=True)

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(compile_alone, stale))
    for path, result in zip(stale, results):
        if result.returncode == 0:
            cache[path] = digests[path]
        else:
            first = next((line for line in result.stderr.split("\n") if "error:" in line), result.stderr.strip())
            yield path, 1, "alone", f"does not compile alone: {first}"
    if cache_file:
        cache_file.parent.mkdir(parents=True, exist_ok=True)
        cache_file.write_text(json.dumps({path: cache[path] for path in sorted(cache) if path in digests}, indent=1))


# ---------------------------------------------------------------------------------------------------- running


def check_tree(root, compiler="g++", cache_file=None, write=False, only=None):
    """(number of checked files, findings sorted by place)."""
    sources = load(root)
    found = []
    if only != "headers":
        for check in (check_floors, check_includes, check_seams, check_openings, check_text):
            found += check(sources)
        found += check_differences(root, sources, write)
        found += check_hooked_names(root, write)
    if only != "text":
        found += check_headers_alone(root, sources, compiler, cache_file)
    return len(sources), sorted(set(found))


OPENING = f"// {SPDX}\n//\n// One.\n// Two.\n// Three.\n#pragma once\n"

# (the rule to report, or None for a clean file; path; text after the opening)
SELF_TEST = [
    (None, "runtime/aiofiber/runtime/engine/stack.h", "#include <aiofiber/runtime/engine/config.h>\n"),
    (None, "runtime/aiofiber/runtime/engine/config.h", "// TODO(perf): measure\n// ::mmap(0) and TODO(api): in comments are no calls\n"),
    (None, "runtime/aiofiber/runtime/engine/clock.h", "#include <chrono>\ninline auto f() { return std::chrono::steady_clock::now(); }\n"),
    (None, "runtime/engine/fiber.cc", "#include <boost/context/stack_context.hpp>\nconst char* s = \"::mmap(\";\n"),
    (None, "runtime/engine/overflow.cc", "// tidy-allow(syscall): a signal handler\nvoid f() { ::write(2, s, 1); }\n"),
    (None, "runtime/hooks/files/read.cc", "#include <dlfcn.h>\nvoid f() { ::read(0, b, 1); }\n"),
    (None, "facade/examples/hello.cc", "void f() { ::read(0, b, 1); }\n"),
    (None, "facade/aiofiber/sleep.h", "#include <aiofiber/runtime/engine/config.h>\n"
     "// Sleeps. Differs from asyncio: takes a\n// Duration.\n// *Errors*: none\ntemplate <class T>\ninline int sleep(T) { return 1; }\n"),
    (None, "runtime/engine/clock.cc", "#include <aiofiber/runtime/engine/reactor.h>\n"),
    ("floor", "runtime/aiofiber/runtime/engine/intrusive.h", "#include <aiofiber/runtime/engine/stack.h>\n"),
    ("floor", "runtime/aiofiber/runtime/engine/fiber.h", "#include <aiofiber/sleep.h>\n"),
    ("floor", "facade/aiofiber/novelty.h", ""),
    ("floor", "runtime/engine/novelty.cc", ""),
    ("include", "runtime/aiofiber/runtime/engine/reactor.h", "#include <ev.h>\n"),
    ("include", "runtime/engine/inbox.cc", "#include <boost/context/fiber.hpp>\n"),
    ("include", "runtime/inspect/symbolize.h", "#include <dlfcn.h>\n"),
    ("include", "facade/aiofiber/queue.h", "#include <map>\n"),
    ("include", "facade/aiofiber/semaphore.h", "#include <absl/base/config.h>\n"),
    ("include", "runtime/aiofiber/runtime/trace/trace_json.h", "// tidy-allow(include):\n#include <absl/base/config.h>\n"),
    (None, "facade/aiofiber/condition.h", "// tidy-allow(include): the reason\n#include <absl/base/config.h>\n"),
    (None, "facade/aiofiber/absl.h", "#include <absl/base/config.h>\n"),
    (None, "runtime/trace/trace_json.cc", "#include <absl/base/config.h>\n"),
    (None, "runtime/inspect/debug_info.h", "#include <absl/base/config.h>\n"),
    ("clock", "facade/core/handle.cc", "auto t = std::chrono::steady_clock::now();\n"),
    ("random", "facade/aiofiber/lock.h", "#include <cstdlib>\ninline int f() { return rand(); }\n"),
    ("sleep", "runtime/engine/parker.cc", "void f() { std::this_thread::sleep_for(t); }\n"),
    ("syscall", "runtime/inspect/registry.cc", "void* f() { return ::mmap(0, 1, 2, 3, 4, 5); }\n"),
    ("deadline", "facade/tasks/sleep.cc", "long f(long deadline_ns) { return deadline_ns - now(); }\n"),
    ("deadline", "facade/combinators/timeout.cc", "long f() { return when_.time_since_epoch().count() - now; }\n"),
    (None, "facade/combinators/shield.cc", "long f(long deadline) { const auto p = &deadline; return p->x, deadline_after(1 - x, deadline); }\n"),
    ("getenv", "tools/aiofiber/top.cc", "const char* kind = std::getenv(name);\n"),
    (None, "tools/aiofiber/ps.cc", "const char* kind = ::secure_getenv(name);\n"),
    (None, "tests/b_test.cc", "const char* kind = std::getenv(name);\n"),
    ("columns", "tests/c_test.cc", f"const char* s = \"{'x' * 100}\";\n"),
    ("labels", "tests/d_test.cc", "// Real time. Labels: threads\n"),
    ("processor", "runtime/engine/fiber.cc", "#if defined(__x86_64__)\nint x;\n#endif\n"),
    ("processor", "tools/aiofiber/stack.cc", "int x = EM_X86_64;\n"),
    (None, "runtime/aiofiber/runtime/arch/arch.h", "#if defined(__x86_64__)\n#endif\n"),
    (None, "tests/e_test.cc", "#if defined(__aarch64__)\n#endif\n"),
    ("todo", "tests/a_test.cc", "// TODO: later\n"),
    ("using", "facade/aiofiber/event.h", "namespace a {}\nusing namespace a;\n"),
    ("alone", "facade/aiofiber/barrier.h", "std::string text;\n"),
    ("differs", "facade/README.md", None),
    ("names", "runtime/hooks/README.md", None),
    ("opening", "facade/aiofiber/log.h", f"// {SPDX}\n#pragma once\n"),
    ("spdx", "bench/a_bench.cc", "int x;\n"),
]


def self_test():
    """Each planted fault is found in its file, and no other; --write repairs the table; the cache hides no fault."""
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for rule, path, text in SELF_TEST:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            if path.endswith(".md"):
                begin, end = (DIFFERS_BEGIN, DIFFERS_END) if rule == "differs" else (NAMES_BEGIN, NAMES_END)
                (root / path).write_text(f"# Facade\n{begin}\nold\n{end}\nend\n")
            else:
                (root / path).write_text(text if rule in ("spdx", "opening") else OPENING + text)
        (root / HOOKED_NAMES).parent.mkdir(parents=True, exist_ok=True)
        (root / HOOKED_NAMES).write_text('HOOKS_IN("net/net.cc",\n  "waits")\nHOOK(always, recv, int(int))\n#if 1\nSECOND_NAME(on_request, b, a)\n'
                                         '#endif\nHOOKS_IN("core/real.cc", "")\nOWN_NAME(mine)\n')
        cache = root / "cache.json"
        _, found = check_tree(root, cache_file=cache)
        expected = {(path, rule) for rule, path, _ in SELF_TEST if rule}
        actual = {(path, rule) for path, _, rule, _ in found}
        failures += [f"not found: {item}" for item in sorted(expected - actual)]
        failures += [f"found without cause: {item}" for item in sorted(actual - expected)]
        _, again = check_tree(root, cache_file=cache, write=True)
        if {(path, rule) for path, _, rule, _ in again} != expected - {("facade/README.md", "differs"), ("runtime/hooks/README.md", "names")}:
            failures.append("--write did not repair exactly the tables")
        readme = (root / "facade/README.md").read_text()
        if "| `sleep.h` | `sleep()` | takes a Duration. |" not in readme or not readme.endswith(f"{DIFFERS_END}\nend\n"):
            failures.append(f"--write wrote a wrong table: {readme!r}")
        readme = (root / "runtime/hooks/README.md").read_text()
        if "---|\n| `net/net.cc` | `recv`; on request: `b` | waits |\n<!--" not in readme or not readme.endswith(f"{NAMES_END}\nend\n"):
            failures.append(f"--write wrote a wrong table: {readme!r}")
    for line in failures:
        print(f"self-test: {line}")
    print(f"tidy self-test: {len(SELF_TEST)} files, {len(failures)} failures")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(description="Checks the house rules of the source tree.")
    parser.add_argument("--root", type=Path, default=Path(__file__).resolve().parent.parent, help="the repository")
    parser.add_argument("--build", type=Path, help="build folder to remember checked headers in")
    parser.add_argument("--cxx", default="g++", help="compiler for the headers (default: g++)")
    parser.add_argument("--only", choices=["text", "headers"],
                        help="text: without a compiler; headers: that they stand alone, which takes half a minute of a core")
    parser.add_argument("--write", action="store_true", help="rewrite the generated tables in the READMEs")
    parser.add_argument("--self-test", action="store_true", help="check the checker on made-up sources")
    arguments = parser.parse_args()
    if arguments.self_test:
        return self_test()
    cache_file = arguments.build / "tidy-headers.json" if arguments.build else None
    count, found = check_tree(arguments.root, arguments.cxx, cache_file, arguments.write, arguments.only)
    for path, line, rule, message in found:
        print(f"{path}:{line}: [{rule}] {message}")
    print(f"tidy: {count} files, {len(found)} findings")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
