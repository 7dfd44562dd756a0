#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compiles and runs the code of the README, of the site's pages and of the headers' opening comments.

Usage: snippets.py [--alone] [--headers FOLDER] PAGE... --work DIR --c-compiler CC [--command FOLDER] --compiler COMMAND...
           --libraries WORD... [--hooks WORD...]

  ```cpp      a program; a first line `// NAME.cc` names it. A ```text block right after it is its whole output.
  ```c        the same in C99.
  ```console  lines `$ COMMAND`, each with its output. `$ ./NAME &` starts a program, waits for its first line, and lets it
              run until the page ends; PID is then its process. Numbers, times and the widths of columns may differ, and a line
              `...` stands for any lines.
  ```python   must be correct Python; it is not run.
  | Python | C++ |   a table: the first cells are Python, the second ones compile in a task. The code that both assume is in a
              ```python block and a ```cpp block without main() right before it.

All C++ programs of a run are one program, because parsing the library's headers takes longer than compiling them: each is in a
namespace of its own, and starts by its name. --alone compiles each by itself, with only its own #includes: minutes longer.
The programs of a page with the comment `<!-- hooks -->` are linked with the hooks, in a second program.
In a header, lines of the opening comment that are indented by four are the body of a task; it must end without an exception.
"""
import argparse
import ast
import os
import pathlib
import re
import subprocess
import sys
import time

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```\n", re.S | re.M)
INCLUDE = re.compile(r"^#include .*$", re.M)
# What the cells of a table and the examples of the headers may use.
EXAMPLE_HEADERS = ("aiofiber/asyncio.h aiofiber/testing.h algorithm cassert cstring iostream mutex numeric sstream stdexcept string thread"
                   " vector").split()


class Snippet:
    """One program."""

    def __init__(self, name, code, expected, hooks):
        self.name, self.code, self.expected, self.hooks = name, code, expected, hooks


class Page:
    def __init__(self, path):
        text = path.read_text()
        self.path, self.name, self.hooks = path, path.stem, "<!-- hooks -->" in text
        self.blocks = [(match.group(1), match.group(2), match.start(), match.end()) for match in BLOCK.finditer(text)]
        self.programs, self.c_programs, self.console, self.fragments = [], [], [], []
        for number, (language, code, begin, end) in enumerate(self.blocks, 1):
            following = self.blocks[number] if number < len(self.blocks) else None
            expected = following[1] if following and following[0] == "text" and following[2] == end else None
            named = re.match(r"// (\w+)\.cc\n", code)
            name = named.group(1) if named else f"{self.name.lower()}_{number}"
            if language == "cpp" and re.search(r"^int main\(", code, re.M):
                self.programs.append(Snippet(name, code, expected, self.hooks))
            elif language == "c":
                self.c_programs.append(Snippet(name, code, expected, False))
            elif language == "console":
                self.console.append(code)
            elif language == "python":
                check_python(path, code)
            table = re.match(r"\n?\| Python \| C\+\+ \|\n\|[-| ]+\|\n((?:\|.*\n)+)", text[end:])
            if language == "cpp" and table:
                self.fragments.append((code, self.rows(table.group(1))))
            elif language == "cpp" and not self.programs_have(code):
                fail(f"{path}: this code is neither a program nor the beginning of a table:\n{code}")

    def programs_have(self, code):
        return any(program.code == code for program in self.programs)

    def rows(self, text):
        for row in text.splitlines():
            cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]]
            python, cpp = ([code.replace("\\|", "|") for code in re.findall(r"`([^`]+)`", cell)] for cell in cells)
            if not python or not cpp:
                fail(f"{self.path}: a row of the table lacks code: {row}")
            check_python(self.path, "; ".join(python) if len(python) > 1 else python[0])
            yield from cpp


def fail(text):
    sys.exit(text)


def check_python(path, code):
    try:
        compile(code, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    except SyntaxError as error:
        if not code.rstrip().endswith(":"):
            fail(f"{path}: no Python: {code}: {error}")
        check_python(path, code.rstrip() + " pass")


def in_namespace(program):
    """The program without its #includes, in a namespace, with its own name and lines in debug information."""
    code = INCLUDE.sub("", program.code).rstrip()
    if not code.endswith("}"):
        fail(f"{program.name}: main() must be the last function:\n{code}")
    code = code[:-1] + "return 0; }"  # as the end of a real main() does
    return f'namespace {program.name} {{\n#line 1 "{program.name}.cc"\n{code}\n}}\n'


def task_bodies(name, preamble, bodies):
    """A function that runs each of the bodies in a task of its own, each in its own loop. A body that makes the loop is in none."""
    code = f"namespace {name} {{\n{preamble}\n"
    for i, (file, line, body) in enumerate(bodies):
        has_loop = re.search(r"\brun(_workers)?\(\[|TestLoop ", body)
        begin, end = ("{", "}") if has_loop else ("{ asyncio::run([] {", "}); }")
        code += f'void body_{i}() {begin}\n#line {line} "{file}"\n{body}\n{end}\n'
    return code + "}\n"


def header_examples(folder):
    """(header, line, code) of each example in the opening comment of a header."""
    for header in sorted(folder.glob("*.h")):
        opening = re.match(r"(?://.*\n)+", header.read_text()).group(0).splitlines()
        lines = [(number, line) for number, line in enumerate(opening, 1) if line.startswith("//     ")]
        if lines:
            yield header.name, lines[0][0], "\n".join(line[7:] for _, line in lines)


def loosely(text):
    """Text without what differs from run to run."""
    text = re.sub(r" \(its thread has waited for a core [^)]*\)", "", text)  # on a busy machine
    text = re.sub(r"0x[0-9a-f]+", "0xN", text)
    text = re.sub(r"\d+ min \d+ s|\d[\d.]* (ns|us|ms|s|min)\b", "TIME", text)
    text = re.sub(r"\d[\d.]* ([KM]i)?B\b", "BYTES", text)
    text = re.sub(r"\d[\d.]*", "N", text)
    return [re.sub(r"\s+", " ", line).strip() for line in text.splitlines() if line.strip()]


def matches(expected, actual):
    """Whether the lines are the same, where `...` among the expected stands for any number of lines."""
    if not expected:
        return not actual
    if expected[0] == "...":
        return any(matches(expected[1:], actual[i:]) for i in range(len(actual) + 1))
    return bool(actual) and expected[0] == actual[0] and matches(expected[1:], actual[1:])


class Runner:
    def __init__(self, arguments):
        self.arguments, self.work = arguments, arguments.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.environment = {**os.environ, "PATH": f"{arguments.command}:{os.environ['PATH']}", "COLUMNS": "200"}

    def compile_cpp(self, name, code, hooks=False):
        source, program = self.work / f"{name}.cc", self.work / name
        source.write_text(code)
        libraries = (self.arguments.hooks if hooks else []) + self.arguments.libraries
        if subprocess.run([*self.arguments.compiler, source.name, "-o", name, *libraries], cwd=self.work).returncode != 0:
            fail(f"{source} does not compile")
        return program

    def compile_together(self, name, programs, fragments, examples, hooks=False):
        includes = {line for program in programs for line in INCLUDE.findall(program.code)}
        includes |= {line for preamble, _ in fragments for line in INCLUDE.findall(preamble)}
        includes |= {f"#include <{header}>" for header in EXAMPLE_HEADERS}
        code = "".join(sorted(line + "\n" for line in includes)) + "using namespace std::chrono_literals;\n"
        # The lines of a program have its own file's name, so the compiler takes them for a header.
        code += '#ifndef __clang__\n#pragma GCC diagnostic ignored "-Wsubobject-linkage"\n#endif\n'
        code += "".join(in_namespace(program) for program in programs)
        for i, (preamble, cells) in enumerate(fragments):
            code += task_bodies(f"table_{i}", INCLUDE.sub("", preamble), [("table.cc", n, cell) for n, cell in enumerate(cells, 1)])
        code += task_bodies("headers", "", examples)
        code += f'#line 1 "{name}.cc"\nint main([[maybe_unused]] int argc, char** argv) {{\n'
        code += "  const char* const slash = std::strrchr(argv[0], '/');\n"
        code += "  const std::string name = slash ? slash + 1 : argv[0];\n"
        for program in programs:
            has_arguments = re.search(r"^int main\(int", program.code, re.M)
            code += f'  if (name == "{program.name}") return {program.name}::main({"argc, argv" if has_arguments else ""});\n'
        code += "  try {\n"
        for i, (header, _, _) in enumerate(examples):
            code += f'    if (argc > 1 && std::string(argv[1]) == "{header}") return headers::body_{i}(), 0;\n'
        code += '  } catch (const std::exception& error) {\n    std::cerr << error.what() << "\\n";\n  }\n  return 100;\n}\n'
        return self.compile_cpp(name, code, hooks)

    def without_namespaces(self, text, programs):
        for program in programs:
            text = text.replace(f"{program.name}::", "")
        return text.replace(f"{self.work.resolve()}/", "").replace(f"{self.work}/", "")

    def run_program(self, program):
        ran = subprocess.run([f"./{program.name}"], cwd=self.work, capture_output=True, text=True, timeout=60)
        if ran.returncode != 0:
            fail(f"{program.name} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")
        if program.expected is not None and ran.stdout != program.expected:
            fail(f"{program.name} printed\n{ran.stdout}\ninstead of\n{program.expected}")

    def run_console(self, page):
        background = []
        try:
            for block in page.console:
                for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M):
                    if command.endswith("&"):
                        words = command[:-1].split()
                        variables = dict(word.split("=", 1) for word in words[:-1])
                        background.append(subprocess.Popen([words[-1]], cwd=self.work, text=True, stdout=subprocess.PIPE,
                                                           stderr=subprocess.DEVNULL, env={**self.environment, **variables}))
                        if not background[-1].stdout.readline():
                            fail(f"{page.name}: {command} printed nothing")
                        continue
                    command = re.sub(r"\bPID\b", lambda _: str(background[-1].pid), command)
                    self.compare_console(page, command, expected)
        finally:
            for process in background:
                process.kill()
                process.wait()

    def compare_console(self, page, command, expected):
        """The state that a page shows is reached soon after the program's first line, not with it: so several attempts."""
        for attempt in range(20):
            ran = subprocess.run(["bash", "-c", command], cwd=self.work, env=self.environment, text=True, timeout=60,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            output = self.without_namespaces(ran.stdout, page.programs)
            if matches(loosely(expected), loosely(output)):
                return
            time.sleep(0.02 * attempt)
        fail(f"{page.name}: {command} printed\n{output}\ninstead of\n{expected}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pages", nargs="*", type=pathlib.Path)
    parser.add_argument("--alone", action="store_true")
    parser.add_argument("--headers", type=pathlib.Path)
    parser.add_argument("--work", type=lambda folder: pathlib.Path(folder).absolute(), required=True)
    parser.add_argument("--c-compiler", required=True)
    parser.add_argument("--command", default=".")
    options, libraries, hooks = [], [], []
    parts = {"--compiler": options, "--libraries": libraries, "--hooks": hooks}
    rest, into = [], None
    for word in sys.argv[1:]:
        into = parts.get(word, into)
        if word not in parts:
            (rest if into is None else into).append(word)
    arguments = parser.parse_args(rest)
    arguments.compiler, arguments.libraries, arguments.hooks = options, libraries, hooks

    pages = [Page(path) for path in arguments.pages]
    runner = Runner(arguments)
    examples = list(header_examples(arguments.headers)) if arguments.headers else []
    programs = [program for page in pages for program in page.programs]
    names = [program.name for program in programs]
    # Started there, and not expected to end.
    sessions = set(re.findall(r"\./(\w+)", "".join(code for page in pages for code in page.console)))
    if len(set(names)) != len(names):
        fail(f"two programs have one name: {sorted(names)}")
    if not programs and not examples:
        fail("no program and no example: nothing was tested")
    if arguments.alone:
        for program in programs:
            runner.compile_cpp(program.name, program.code, program.hooks)
            if program.name not in sessions:
                runner.run_program(program)
        print(f"{len(programs)} programs compiled and ran, each by itself")
        return

    for hooked in (False, True):
        some = [program for program in programs if program.hooks == hooked]
        fragments = [fragment for page in pages if page.hooks == hooked for fragment in page.fragments]
        if not some and not (examples and not hooked):
            continue
        together = runner.compile_together("with_hooks" if hooked else "together", some, fragments, [] if hooked else examples, hooked)
        for program in some:
            (runner.work / program.name).unlink(missing_ok=True)
            (runner.work / program.name).symlink_to(together.name)
            (runner.work / f"{program.name}.cc").write_text(program.code)
        for program in some:
            if program.name not in sessions:
                runner.run_program(program)
        for header, _, _ in [] if hooked else examples:
            ran = subprocess.run([str(together), header], capture_output=True, text=True, timeout=60)
            if ran.returncode != 0:
                fail(f"the example of {header} ended with {ran.returncode}:\n{ran.stdout}{ran.stderr}")

    headers = [word for word in arguments.compiler if word.startswith("-I")]
    for page in pages:
        for snippet in page.c_programs:
            (runner.work / f"{snippet.name}.c").write_text(snippet.code)
            subprocess.run([arguments.c_compiler, "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", *headers, f"{snippet.name}.c",
                            "-o", snippet.name, *arguments.libraries, "-lstdc++", "-lm"], check=True, cwd=runner.work)
            runner.run_program(snippet)
        runner.run_console(page)
    print(f"{len(programs)} programs, {sum(len(page.c_programs) for page in pages)} in C, "
          f"{sum(len(page.console) for page in pages)} sessions and {len(examples)} examples of headers compiled and ran")


if __name__ == "__main__":
    main()
