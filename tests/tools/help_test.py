#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tests what one looks up: the man pages and the completions, against --help, the sources, and the shells themselves.

usage: help_test.py COMMAND HELP_FOLDER SOURCE_FOLDER SHELL...

COMMAND is the built `aiofiber`, HELP_FOLDER has the generated files. Each named shell (bash, zsh, fish) has to complete the same words.
"""
import os
import pty
import re
import select
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

COMMAND, HELP, SOURCE = (os.path.abspath(path) for path in sys.argv[1:4])
SHELLS = sys.argv[4:]
PAGES = ["aiofiber.1", "aiofiber.7"]
NO_SUCH_PROCESS = "4194305"  # above the largest id that Linux gives


def run(*words, **options):
    return subprocess.run(words, capture_output=True, text=True, check=False, **options)


def long_options(text):
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", text))


def help_text():
    return run(COMMAND, "--help").stdout


def commands():
    """The names of the commands: the first words of the first list of --help."""
    return set(re.findall(r"^  ([a-z][a-z-]*)", help_text().split("Options:")[0], re.M))


def rendered(page):
    """The page as text, without backspaces and broken words."""
    return re.sub(r".\x08", "", run("mandoc", "-T", "utf8", "-O", "width=200", f"{HELP}/{page}").stdout)


# ---------------------------------------------------------------------------------------------------- the shells

BASH = """
source "$1/aiofiber.bash"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_aiofiber 2>/dev/null  # compopt complains where nobody completes
printf '%s\\n' "${COMPREPLY[@]}"
"""

# The shell's own compadd() writes down what matches; the calls that only ask what would match are left alone.
ZSHRC = """
fpath=($HELP $fpath)
autoload -Uz compinit
compinit -u -D
compadd() {
  if [[ ${@[1,(i)(-|--)]} != *-[OAD]* ]]; then
    local -a matches
    builtin compadd -O matches "$@"
    print -l -- $matches >>$RESULT
  fi
  builtin compadd "$@"
}
leave() { print -- end-of-result >>$RESULT; exit; }
zle -N leave
bindkey '^I' complete-word
bindkey '^T' leave
PS1='ready>'
"""


def in_bash(*words):
    return run("bash", "--norc", "-c", BASH, "bash", HELP, "aiofiber", *words).stdout.split()


def in_fish(*words):
    script = f"source {HELP}/aiofiber.fish; complete -C 'aiofiber {' '.join(words)}'"
    lines = run("fish", "--no-config", "-c", script).stdout.splitlines()
    return [line.split("\t")[0] for line in lines]


def read_until(terminal, wanted, deadline):
    """Reads the terminal until `wanted` comes (or the program ends, where that is None)."""
    seen = b""
    while wanted is None or wanted not in seen:
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([terminal], [], [], left)[0]:
            raise TimeoutError(f"zsh only said {seen!r}")
        try:
            more = os.read(terminal, 4096)
        except OSError:  # how a terminal says that the program has ended
            more = b""
        if not more:
            if wanted is None:
                return
            raise EOFError(f"zsh ended after {seen!r}")
        seen += more


def in_zsh(*words):
    """Types the words and a TAB in a terminal."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / ".zshrc").write_text(ZSHRC)
        result = Path(folder) / "result"
        child, terminal = pty.fork()
        if child == 0:
            os.chdir(folder)
            os.execvpe("zsh", ["zsh", "-d", "-i"],  # -d: none of the machine's own settings
                       {**os.environ, "ZDOTDIR": folder, "HELP": HELP, "RESULT": str(result), "TERM": "dumb"})
        deadline = time.monotonic() + 120
        read_until(terminal, b"ready>", deadline)
        os.write(terminal, ("aiofiber " + " ".join(words) + "\t\x14").encode())
        read_until(terminal, None, deadline)
        os.waitpid(child, 0)
        os.close(terminal)
        lines = result.read_text().splitlines()
        if lines[-1:] != ["end-of-result"]:
            raise EOFError(f"zsh has not ended as it was told to: {lines}")
        return [line for line in lines[:-1] if line]  # a message without a match is an empty line


COMPLETE = {"bash": in_bash, "fish": in_fish, "zsh": in_zsh}


class Pages(unittest.TestCase):
    def test_mandoc_finds_no_fault(self):
        for page in PAGES:
            lint = run("mandoc", "-T", "lint", "-W", "warning", f"{HELP}/{page}")
            self.assertEqual((lint.returncode, lint.stdout + lint.stderr), (0, ""))

    def test_man_shows_them_without_a_warning(self):
        for page in PAGES:
            shown = run("man", "--warnings", "-E", "UTF-8", "-l", f"{HELP}/{page}", env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"})
            self.assertEqual((shown.returncode, shown.stderr), (0, ""))
            self.assertIn("aiofiber", shown.stdout)

    def test_the_first_names_what_help_names(self):
        page = rendered("aiofiber.1")
        self.assertLessEqual({"--core", "--json"}, long_options(help_text()))
        self.assertEqual(long_options(help_text()) - long_options(page), set())
        for name in commands():
            self.assertRegex(page, rf"(?m)^\s+{name}\b")

    def test_the_seventh_names_the_variables_that_the_library_reads(self):
        read = set()
        for folder in ["runtime", "facade"]:
            for source in Path(SOURCE, folder).rglob("*.cc"):
                if "examples" not in source.parts:
                    read |= set(re.findall(r'(?:secure_getenv|variable)\("(AIOFIBER\w+)"\)', source.read_text()))
        self.assertIn("AIOFIBER_TRACE", read)
        told = set(re.findall(r"^\.It Ev (\w+)$", Path(HELP, "aiofiber.7").read_text(), re.M))
        self.assertEqual(told, read)


class Table(unittest.TestCase):
    """The table says what the code that reads the command line accepts."""

    def test_it_has_every_option_that_is_read(self):
        read = set()
        for name in ["main.cc", "trace_command.cc", "hooks_check.cc"]:
            source = Path(SOURCE, "tools/aiofiber", name).read_text()
            read |= set(re.findall(r'\bword == "(--[a-z-]+)"', source))
        self.assertEqual(long_options(help_text().split("Options:")[1]), read)

    def test_each_command_takes_its_options(self):
        values = {"--core": "no-such-core", "--max-memory": "1M", "--interval": "1", "--seconds": "1", "--output": "out"}
        for command in sorted(commands()):
            for option in in_bash(command, "--"):
                words = [option] + ([values[option]] if option in values else [])
                said = run(COMMAND, command, NO_SUCH_PROCESS, *words).stderr
                self.assertNotRegex(said, r"(unknown|knows no) (option|command)", f"{command} {option}")


class Completions(unittest.TestCase):
    def completed(self, *words):
        """What each shell offers, which has to be the same."""
        answers = {shell: sorted(set(COMPLETE[shell](*words))) for shell in SHELLS}
        for shell, answer in answers.items():
            self.assertEqual(answer, answers[SHELLS[0]], f"{shell} is not as {SHELLS[0]} for {words}")
        return answers[SHELLS[0]]

    def test_of_the_commands(self):
        self.assertEqual(self.completed("st"), ["stack"])
        for shell in SHELLS:
            self.assertEqual(commands() - set(COMPLETE[shell]("")), set(), shell)

    def test_of_the_options_of_each_command(self):
        of_all = set(self.completed("--"))
        self.assertEqual(of_all, {"--help", "--version"})
        for command in sorted(commands()):
            offered = self.completed(command, "--")
            self.assertTrue(offered, command)
            of_all |= set(offered)
        self.assertEqual(of_all, long_options(help_text().split("Options:")[1]))
        self.assertEqual(self.completed("pstree", "--d"), ["--dot"])
        self.assertEqual(self.completed("ps", "--d"), [])

    def test_of_a_process(self):
        own = str(os.getpid())
        for command in ["ps", "trace"]:
            for shell in SHELLS:
                self.assertIn(own, COMPLETE[shell](command, own), f"{shell}, {command}")

    def test_of_a_file(self):
        with tempfile.TemporaryDirectory() as folder:
            core = Path(folder, "core.of-a-program")
            core.touch()
            for words in [("ps", "--core"), ("trace",), ("core-threads", "-o")]:
                for shell in SHELLS:
                    offered = COMPLETE[shell](*words, f"{folder}/core.of")
                    self.assertIn(core.name, [Path(word).name for word in offered], f"{shell}, {words}")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
