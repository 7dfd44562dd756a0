#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives Doxygen a public header in its own dialect. The headers have plain `//` comments, which are for readers of the source.

  header_filter.py HEADER          the header, with its comments as Doxygen wants them, and without what is in `detail`
  header_filter.py --list HEADER...  those that declare something outside `detail`: the headers of the reference

A comment before a declaration documents it; a comment behind a field documents the field; the opening comment documents the
file. An overload right below another one without a comment of its own has the other's. What is not for programs is left out
if it has no comment (is_inner). Words such as `Errors:` begin paragraphs. Lines that are indented by four are an example.
"""
import re
import sys

# In `detail`, but programs use their members through the public classes that derive from them.
BASES = ("BasicQueue", "TaskMembers")
# Members with these names are there because the standard library asks for them: of an iterator, a clock, a coroutine type.
ASKED_FOR = ("difference_type", "iterator_category", "pointer", "promise_type", "reference", "value_type",
             "rep", "period", "duration", "time_point", "is_steady")
# What assignments, a range-based for and co_await ask for.
INNER_NAMES = ("operator=", "operator++", "begin", "end", "entry", "stackless_form")
# The beginning of a declaration that stands in a header for the compiler, or for other headers.
INNER_BEGINNINGS = ("friend ", "struct std::hash", "struct hash", "class Iterator", "struct Sentinel")
# A type that is not for programs, where a handle is made from it or gives it.
INNER_TYPE = r"(runtime::Ref<|std::shared_ptr<(?:const )?detail::|detail::\w+(<\w+>)?[&*])"
# The first line of a declaration that is no namespace and no class, or of a class that is not for programs.
BEGINNING = re.compile(r" *(?!namespace|class|struct|enum|typedef|extern \"C\"|template <>|[#/}])[\w~\[:]"
                       r"|(?: *template <>)? *(struct (std::)?hash|class Iterator|struct Sentinel)\b")
DETAIL = re.compile(r"namespace (\w+::)*detail \{")
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
    # `---- callbacks.` begins a group of declarations.
    lines = [re.sub(r"^-+ (\w)", lambda found: found.group(1).upper(), line) for line in lines]
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


def declaration_at(lines, i):
    """(the text of the declaration that begins at line i, without its templates; the line after it)."""
    begin, depth = i, 0
    while i < len(lines):
        code = re.sub(r"\s*//.*", "", re.sub(r"'[^']'|\"[^\"]*\"", "0", lines[i]))
        depth += sum(code.count(c) for c in "({") - sum(code.count(c) for c in ")}")
        i += 1
        if depth <= 0 and code.rstrip().endswith((";", "}")):
            break
    text = " ".join(line.strip() for line in lines[begin:i] if not line.strip().startswith("//"))
    return re.sub(r"^(template <.*?> (?=\w))+", "", text), i


def name_of(declaration):
    """What it declares, for a function; its overloads have the same name."""
    count = 1
    while count:
        declaration, count = re.subn(r"<[^<>()]*>|<[^<>]*\(\)>", "", declaration)
    names = re.findall(r"(operator ?[^\s\w(]+|operator \w+|~?\w+) ?\(", declaration)
    return next((name for name in names if name != "requires"), None)


def is_inner(declaration):
    """Whether an uncommented declaration is not for programs, or says nothing that the comment of its class has not said."""
    name = name_of(declaration)
    if declaration.startswith(INNER_BEGINNINGS) or declaration.endswith("= delete;"):
        return True
    if "refuse_not_awaitable" in declaration or re.search(r"\w_( = .*)?;$", declaration):  # not_awaitable.h; a field
        return True
    if re.match(rf"using ({'|'.join(ASKED_FOR)}) =|using \w+::|static constexpr bool is_steady", declaration):
        return True
    if name is not None:
        if name.startswith("~") or name in INNER_NAMES:
            return True
        own = rf"{re.escape(name)}(<\w+>)?"
        if re.search(rf"\b{own}\((const {own}& ?\w*|{own}&& ?\w*)\)", declaration):  # copying and moving
            return True
    head = re.split(r"\) (?:const )?(?:noexcept )?[:{]|;", declaration)[0]
    return re.match(rf"(explicit )?\w+\((const )?{INNER_TYPE}|(const )?{INNER_TYPE}.*\w+(\(|$)", head) is not None


def convert(text):
    lines = text.split("\n")
    if lines and "SPDX" in lines[0]:
        lines = lines[1:]
    out, i, hidden = [], 0, None
    access = None                    # public, protected or private, in a class that says so
    inside = 0                       # the lines before this one belong to a declaration that was seen
    above, shared = (-1, 0, ""), []  # the last function: the line behind it, its indentation, its name; and its comment
    while i < len(lines) and not lines[i].strip("/ ") and lines[i].startswith("//"):
        i += 1
    if i < len(lines) and lines[i].startswith("//"):
        opening, i = comment_at(lines, i)
        out += ["/// " + line for line in dialect(opening, opening=True)]
    while i < len(lines):
        line = lines[i]
        if DETAIL.match(line):
            hidden, last = "namespace", declaration_at(lines, i)[1] - 1
            out.append("/// @cond")
        elif hidden is not None and i == last:
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
        label = re.match(r" *(?:(public|protected|private):|(?:class|struct) |\};)", line)
        access = label.group(1) if label else access
        if hidden != "namespace" and i >= inside and BEGINNING.match(line) and not line.rstrip().endswith(":"):
            text, after = declaration_at(lines, i)
            indent = len(line) - len(line.lstrip())
            commented = out[-1].lstrip().startswith("///") and out[-1] not in ("/// @cond", "/// @endcond")
            if text.startswith("class Iterator") and commented:
                del out[-len(shared):]
                commented = False
            if not commented and " // " not in line and (access == "protected" or is_inner(text)):
                out += ["/// @cond", *lines[i:after], "/// @endcond"]
                i = inside = after
                continue
            if not re.match(r"(class|struct|enum) ", text):
                inside = after
                if not commented:
                    is_overload = name_of(text) is not None and above == (i, indent, name_of(text))
                    shared = shared if is_overload else []
                    out += shared
                above = (after, indent, name_of(text))
        if re.match(r"\s*//", line):
            comment, after = comment_at(lines, i)
            if after < len(lines) and lines[after].strip() and not lines[after].startswith("}"):
                indent = re.match(r"\s*", line).group(0)
                shared = [indent + "/// " + text for text in dialect(comment)]
                out += shared
                i = after
                continue
            i = after
            continue
        behind = re.match(r"(\s*[^/\s#}].*?[;,}]|\s*k?\w+)  +// (.*)$", line)
        if behind:
            column = line.index(" // ") + 1
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
    lines, i = text.split("\n"), 0
    while i < len(lines):
        if DETAIL.match(lines[i]):
            del lines[i:declaration_at(lines, i)[1]]
        else:
            i += 1
    text = re.sub(r"//.*", "", "\n".join(lines))
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
