#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives Doxygen a public header in its own dialect. The headers have plain `//` comments, which are for readers of the source.

  header_filter.py HEADER          the header, with its comments as Doxygen wants them, and without what is in `detail`
  header_filter.py --list HEADER...  those that declare something outside `detail`: the headers of the reference

A comment before a declaration documents it; a comment behind a field documents the field; the opening comment documents the
file. Words such as `Errors:` begin paragraphs. Lines that are indented by four are an example.
"""
import re
import sys

# In `detail`, but programs use their members through the public classes that derive from them.
BASES = ("BasicQueue", "TaskMembers")
SECTIONS = "Threads|Cancellation|Errors|Source|Lifetime|Differs from asyncio"


def escape(text):
    """Text as it is, for Doxygen and Markdown; what is between backticks is left alone."""
    parts = text.split("`")
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"([\\@#<>*~%])", r"\\\1", parts[i])
    text = "`".join(parts)
    return re.sub(r"`([^`]*'[^`]*)`", r"``\1``", text)  # within single backticks Doxygen takes an apostrophe for the end


def dialect(lines, opening=False):
    """The lines of one comment, without their slashes, as lines of a comment of Doxygen."""
    out, code, previous = (["@file"] if opening else []), False, ""
    for line in lines:
        if line.startswith("    ") != code and (code or line.strip()):
            out.append("@endcode" if code else "@code{.cc}")
            code = not code
        if code:
            out.append(line[4:])
            continue
        begins = previous == "" or previous.endswith((".", ":"))
        line = escape(line)
        line = re.sub(rf"(?:(?<=\. )|(?<=; )|{'^' if begins else '^(?!)'})({SECTIONS}):", r"\n\n**\1:**", line)
        out += line.split("\n")
        previous = line.rstrip()
    return out + (["@endcode"] if code else [])


def comment_at(lines, i):
    """(the lines of the comment that begins at line i, without slashes; the line after it)."""
    begin = i
    while i < len(lines) and re.match(r"\s*//", lines[i]):
        i += 1
    return [re.sub(r"^\s*// ?", "", line) for line in lines[begin:i]], i


def convert(text):
    lines = text.split("\n")
    if lines and "SPDX" in lines[0]:
        lines = lines[1:]
    out, i, hidden = [], 0, None
    while i < len(lines) and not lines[i].strip("/ ") and lines[i].startswith("//"):
        i += 1
    if i < len(lines) and lines[i].startswith("//"):
        opening, i = comment_at(lines, i)
        out += ["/// " + line for line in dialect(opening, opening=True)]
    while i < len(lines):
        line = lines[i]
        if line == "namespace detail {" and lines[i + 2:i + 3] == ["}"]:  # one declaration
            i += 3
            continue
        if re.match(r"namespace (\w+::)*detail \{", line):
            hidden = "namespace"
            out.append("/// @cond")
        elif re.match(r"\}  // namespace (\w+::)*detail", line):
            out += [line, "/// @endcond"]
            hidden, i = None, i + 1
            continue
        elif hidden == "namespace" and re.match(rf"class ({'|'.join(BASES)}) \{{", line):
            begin = len(out)
            while out[begin - 1].startswith(("template", "/// ")):
                begin -= 1
            out.insert(begin, "/// @endcond")
            hidden = "base"
        elif hidden == "base" and line == "};":
            out += [line, "/// @cond"]
            hidden, i = "namespace", i + 1
            continue
        if re.match(r"\s*//", line):
            comment, after = comment_at(lines, i)
            if after < len(lines) and lines[after].strip() and not lines[after].startswith("}"):
                indent = re.match(r"\s*", line).group(0)
                out += [indent + "/// " + text for text in dialect(comment)]
                i = after
                continue
            i = after
            continue
        behind = re.match(r"(\s*[^/\s#}].*?[;,]|\s*k?\w+)  // (.*)$", line)
        if behind:
            column = line.index("  // ") + 2
            words = [behind.group(2)]
            while i + 1 < len(lines) and lines[i + 1].startswith(" " * column + "// "):
                i += 1
                words.append(lines[i].strip()[3:])
            line = f"{behind.group(1)}  ///< {escape(' '.join(words))}"
        out.append(line)
        i += 1
    return "\n".join(out)


def declares(text):
    """Whether anything is left outside `detail`."""
    text = re.sub(r"^namespace (?:\w+::)*detail \{.*?^\}  // namespace (?:\w+::)*detail$", "", text, flags=re.S | re.M)
    text = re.sub(r"//.*", "", text)
    return re.search(r"^(template|class|struct|enum|inline|using|concept|[\w:<>&* ]+\()", text, re.M) is not None


def main():
    if sys.argv[1] == "--list":
        for path in sys.argv[2:]:
            with open(path, encoding="utf-8") as file:
                if declares(file.read()):
                    print(path)
    else:
        with open(sys.argv[1], encoding="utf-8") as file:
            sys.stdout.write(convert(file.read()))


if __name__ == "__main__":
    main()
