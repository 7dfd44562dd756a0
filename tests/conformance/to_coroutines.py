#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Translates scenarios into C++20 coroutines: to_coroutines.py FOLDER SCENARIO.cc...

Each scenario.cc is written to FOLDER as a text in which the bodies of tasks are coroutines. The twin stays the one text
that people read; its trace has to be the same in both forms.

What becomes a coroutine: a function or lambda that awaits, that calls one which does, or that is handed to a function which
takes bodies (BODY_TAKERS). Its result type T becomes Coro<T>, `await(x)` becomes `co_await x`, `return` becomes `co_return`,
and calls of such functions are awaited. A handler that awaits runs after its `try`, and a std::unique_lock is acquired by
co_await: C++ allows neither in a coroutine. The rules know the style of the scenarios and no more of C++. What they do not
understand is an error here or at the compiler. Python's standard library only.
"""
import pathlib
import re
import sys

# The functions whose arguments are bodies, and the helpers of conf.h that call their arguments in the same task.
BODY_TAKERS = {"await", "coroutine", "create_task", "ensure_future", "gather", "run", "run_coroutine_threadsafe",
               "run_until_complete", "shield", "task_group", "timeout", "timeout_at", "wait_for"}
CALLBACK_TAKERS = {"add_done_callback", "call_at", "call_later", "call_soon", "call_soon_threadsafe"}
BODY_TAKING_METHODS = {"create_task", "run", "run_until_complete"}
CALLERS = {"attempt", "py_result", "try_finally"}
CLOSING = {"(": ")", "[": "]", "{": "}"}


class Problem(Exception):
    pass


def mask(text):
    """The text with its comments, literals and preprocessor lines made harmless, character by character."""
    def hide(match):
        found = match.group(0)
        if found.startswith(('"', "'")):
            return found[0] + "~" * (len(found) - 2) + found[-1]
        return re.sub(r"[^\n]", " ", found)

    return re.sub(r"""//[^\n]*|^[ ]*\#[^\n]*|"(?:\\.|[^"\\\n])*"|(?<!\w)'(?:\\.|[^'\\\n])*'""", hide, text, flags=re.M)


class Code:
    """A function or a lambda."""

    def __init__(self, name, start, parameters, result, body):
        self.name = name              # a lambda's: that of its variable, or None
        self.start = start            # of its text
        self.parameters = parameters  # the range between the parentheses; None: a lambda without them
        self.result = result          # the range of its result type; None: a lambda without one
        self.body = body              # the range between the braces
        self.coroutine = False
        self.scenario = False
        self.callback = False         # of the loop: it stays a function, and what it awaits is an error


class Translator:
    def __init__(self, text):
        self.text = text
        self.code = mask(text)
        self.pairs = self.match_brackets()
        self.edits = []
        self.all = self.functions() + self.lambdas()
        self.handlers = 0

    # ---- reading
    def match_brackets(self):
        pairs, open_ones = {}, []
        for at, c in enumerate(self.code):
            if c in CLOSING:
                open_ones.append(at)
            elif c in CLOSING.values():
                pairs[open_ones.pop()] = at
        return pairs

    def functions(self):
        found = []
        pattern = r"^(?:(?:static|FRAME) )*((?:[\w:]|<[^;{}()]*>|[&*] ?| (?=\w))+?) ?\b(\w+)\("
        pattern += r"|^ +([\w:]+) operator\(\)\("
        for m in re.finditer(pattern, self.code, re.M):
            end = self.pairs[m.end() - 1]
            brace = re.compile(r"\s*(?:const )?\{").match(self.code, end + 1)
            if brace:
                body = (brace.end(), self.pairs[brace.end() - 1])
                result = m.span(1) if m.group(1) else m.span(3)
                found.append(Code(m.group(2), m.start(), (m.end(), end), result, body))
        for m in re.finditer(r"^SCENARIO\(\w+\) \{", self.code, re.M):
            code = Code(None, m.start(), None, None, (m.end(), self.pairs[m.end() - 1]))
            code.scenario = True
            found.append(code)
        return found

    def lambdas(self):
        found = []
        for m in re.finditer(r"\[", self.code):
            before = self.code[:m.start()].rstrip()
            if re.search(r"[\w\])>]$", before) and not re.search(r"\breturn$", before):
                continue
            at = self.pairs[m.start()] + 1
            parameters = result = None
            if self.code.startswith("(", at):
                parameters = (at + 1, self.pairs[at])
                at = self.pairs[at] + 1
            tail = re.compile(r"\s*(?:mutable\s*)?(?:->\s*([^{};]+?))?\s*\{").match(self.code, at)
            if not tail:
                continue
            if tail.group(1):
                result = tail.span(1)
            name = re.search(r"\b(\w+) = $", self.code[:m.start()])
            body = (tail.end(), self.pairs[tail.end() - 1])
            found.append(Code(name and name.group(1), m.start(), parameters, result, body))
        return found

    def line(self, at):
        return self.text.count("\n", 0, at) + 1

    def owner(self, at):
        """The innermost function or lambda whose body has this place."""
        inside = [c for c in self.all if c.body[0] <= at < c.body[1]]
        return max(inside, key=lambda c: c.body[0]) if inside else None

    def function_around(self, code):
        return next(c for c in self.all if c.body[0] <= code.body[0] <= c.body[1] and not self.owner(c.start))

    def find(self, pattern, code):
        """Matches in the code's own body, without the lambdas in it."""
        return [m for m in re.compile(pattern).finditer(self.code, *code.body) if self.owner(m.start()) is code]

    def arguments(self, opening):
        """The ranges of the arguments between a parenthesis and its partner."""
        start = at = opening + 1
        end = self.pairs[opening]
        ranges = []
        while at < end:
            c = self.code[at]
            if c in CLOSING:
                at = self.pairs[at]
            elif c == ",":
                ranges.append((start, at))
                start = at + 1
            at += 1
        return ranges + [(start, end)]

    def codes_of(self, argument):
        """The functions or lambdas that an argument is: a lambda, or a name."""
        text = self.code[slice(*argument)]
        start = argument[0] + len(text) - len(text.lstrip())
        return [c for c in self.all if c.start == start or (c.name and c.name == text.strip())]

    def calls(self, code):
        """The calls in the own body: the name, with its opening parenthesis. Group 1: a function's, 2: a method's."""
        return self.find(r"(?<![\w.>~])(?:asyncio::|std::)?(\w+)(?:<[\w:<>, ]*>)?\(|(?<=[.>])(\w+)\(", code)

    # ---- which are coroutines
    def choose(self):
        for code in self.all:
            for m in self.calls(code):
                if m.group(2) in CALLBACK_TAKERS:
                    for body in self.codes_of(self.arguments(m.end() - 1)[0]):
                        body.callback = True
                is_context = self.code[:m.start()].endswith("ctx.")  # Context.run() takes a function
                if is_context or not (m.group(1) in BODY_TAKERS or m.group(2) in BODY_TAKING_METHODS):
                    continue
                for argument in self.arguments(m.end() - 1):
                    for body in self.codes_of(argument):
                        body.coroutine = True
                    if self.code[slice(*argument)] == "fn":
                        for body in self.handed_on(self.function_around(code)):
                            body.coroutine = True
        # Arguments of coroutine() in the initializer of a variable at namespace scope.
        for m in re.finditer(r"\bcoroutine\(", self.code):
            for body in self.codes_of(self.arguments(m.end() - 1)[0]):
                body.coroutine = True
        changed = True
        while changed:
            changed = False
            for code in self.all:
                if not code.coroutine and not code.callback and self.awaits(code):
                    if code.scenario:
                        raise Problem("the scenario itself would be a coroutine")
                    code.coroutine = changed = True

    def awaits(self, code):
        if self.find(r"\bunique_lock\b", code):
            return True
        return any(self.awaited_call(code, m) for m in self.calls(code))

    def awaited_call(self, code, m):
        """Is this a call that a coroutine has to await?"""
        name = m.group(1)
        if name is None:
            return False
        if m.group(0).startswith("asyncio::"):
            return name == "await"
        if name == "ticks" or any(c.name == name and c.coroutine for c in self.all):
            return True
        if name in CALLERS:
            return any(c.coroutine for a in self.arguments(m.end() - 1) for c in self.codes_of(a))
        return name == "fn" and any(c.coroutine for c in self.handed_on(code))

    def handed_on(self, code):
        """What callers of the code give it as its parameter `fn`."""
        if code.name is None or code.parameters is None:
            return []
        parameters = [self.code[slice(*p)] for p in self.arguments(code.parameters[0] - 1)]
        at = next((i for i, p in enumerate(parameters) if re.search(r"\bfn$", p)), None)
        if at is None:
            return []
        calls = [m for m in re.finditer(r"(?<![\w.])" + code.name + r"\(", self.code) if m.end() != code.parameters[0]]
        return [c for m in calls for c in self.codes_of(self.arguments(m.end() - 1)[at])]

    # ---- writing
    def edit(self, start, end, text):
        self.edits.append((start, end, text))

    def translate(self):
        self.choose()
        if not any(c.coroutine for c in self.all):
            raise Problem("there is nothing that could be a coroutine")
        for m in re.finditer(r"\basyncio::await\(", self.code):
            owner = self.owner(m.start())
            if owner is None or not (owner.coroutine or owner.callback):
                raise Problem(f"line {self.line(m.start())}: an await() that is in no function or lambda")
        for code in self.all:
            if code.coroutine:
                self.rewrite(code)
        edited = self.text
        for start, end, new in sorted(self.edits, key=lambda e: (e[0], e[1]), reverse=True):
            edited = edited[:start] + new + edited[end:]
        return edited

    def rewrite(self, code):
        returns = self.find(r"\breturn\b", code)
        self.rewrite_result(code, returns)
        for m in returns:
            self.edit(*m.span(), "co_return")
        awaited = 0
        for m in self.calls(code):
            if not self.awaited_call(code, m):
                continue
            awaited += 1
            close = self.pairs[m.end() - 1]
            name = m.group(1)
            is_await = m.group(0).startswith("asyncio::")
            if self.is_plain(m.end(), close):
                before, after = "(co_await ", ")"
            else:
                before, after = "(co_await [&]() -> decltype(auto) { return ", "; }())"
            if is_await:
                self.edit(m.start(), m.end(), before + "(")
                self.edit(close, close + 1, ")" + after)
            else:
                self.edit(m.start(), m.start(), before)
                if name == "ticks":
                    self.edit(*m.span(1), "conf::pass_ticks")
                self.edit(close + 1, close + 1, after)
        for m in self.find(r"(?:const )?std::unique_lock (\w+)\((\w+)\);", code):
            awaited += 1
            self.edit(m.start(), m.start(), f"co_await {m.group(2)}.acquire(); ")
            self.edit(m.end() - 2, m.end() - 2, ", std::adopt_lock")
        self.rewrite_handlers(code)
        if not awaited and not returns:
            self.edit(code.body[0], code.body[0], " co_await conf::nothing();")

    def is_plain(self, start, end):
        """No aggregate and no braced list, which g++ 12 miscompiles beside a co_await."""
        for m in re.compile(r"\{").finditer(self.code, start, end):
            if not any(c.body[0] <= m.end() <= c.body[1] for c in self.all if start <= c.start < end):
                return False
        return True

    def rewrite_result(self, code, returns):
        if code.result:
            start, end = code.result
            self.edit(start, end, f"asyncio::Coro<{self.text[start:end].strip()}>")
            return
        valued = [m for m in returns if self.code[m.end()] != ";"]
        result = "void"
        if valued:
            expression = self.text[valued[0].end():self.code.index(";", valued[0].end())].strip()
            if "{" in expression or "[" in expression:
                raise Problem(f"line {self.line(code.start)}: the lambda wants a result type")
            result = f"conf::result_of<decltype({expression})>"
        parentheses = "()" if code.parameters is None else ""
        brace = code.body[0] - 1
        end = len(self.code[:brace].rstrip())
        self.edit(end, end, f"{parentheses} -> asyncio::Coro<{result}>")

    def rewrite_handlers(self, code):
        """catch (E) { B } with an await in B becomes catch (E) { keep it } if (it was kept) { B }."""
        for m in self.find(r"\bcatch \(", code):
            head_end = self.pairs[m.end() - 1]
            body = (head_end + 3, self.pairs[head_end + 2])
            inside = [c for c in self.calls(code) if body[0] <= c.start() < body[1] and self.awaited_call(code, c)]
            if not inside:
                continue
            if re.compile(r"\}\s*catch\b").match(self.code, body[1]):
                raise Problem("a handler that awaits is not the last one")
            if re.search(r"& \w+$", self.code[m.end():head_end]):
                raise Problem("a handler that awaits names its exception")
            self.handlers += 1
            kept = f"kept_{self.handlers}"
            start = self.start_of_try(m.start())
            self.edit(start, start, f"std::exception_ptr {kept}; ")
            self.edit(body[0], body[0], f" {kept} = std::current_exception(); }} if ({kept}) {{")
            for use in self.find(r"\bthrow;|\bexc\(\)|std::current_exception\(\)", code):
                if body[0] <= use.start() < body[1]:
                    text = {"throw;": f"std::rethrow_exception({kept});", "exc()": f"exc({kept})"}.get(use.group(0), kept)
                    self.edit(*use.span(), text)

    def start_of_try(self, catch):
        closing = len(self.code[:catch].rstrip()) - 1
        opening = next(o for o, c in self.pairs.items() if c == closing)
        before = self.code[:opening].rstrip()
        if before.endswith("try"):
            return len(before) - len("try")
        return self.start_of_try(before.rindex("catch"))


def translate(path):
    text = path.read_text()
    try:
        translated = Translator(text).translate()
    except Problem as problem:
        sys.exit(f"{path.name}: {problem}")
    return translated.replace('#include "../conf.h"', '#include "conf_coro.h"')


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for path in map(pathlib.Path, sys.argv[2:]):
        (folder / path.name).write_text(translate(path))


if __name__ == "__main__":
    main()
