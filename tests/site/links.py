#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks that each link between the READMEs and the site's pages leads to a file, and its #anchor to a heading of that file.

Usage: links.py SOURCE_TREE. Links to other hosts are not followed: a test needs no network.
"""
import pathlib
import re
import sys


def without_code(text):
    text = re.sub(r"^```.*?^```", "", text, flags=re.S | re.M)
    return re.sub(r"`[^`\n]*`", "", text)


def anchor(heading):
    """The anchor that a heading gets from the usual readers of Markdown."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", "")).replace(" ", "-")


def main():
    tree = pathlib.Path(sys.argv[1]).resolve()
    files = [path for path in tree.rglob("*.md") if "build" not in path.relative_to(tree).parts]
    links = problems = 0
    for path in files:
        for found in re.finditer(r"\[[^\]]*\]\(([^)\s]+)\)", without_code(path.read_text())):
            target = found.group(1)
            if re.match(r"[a-z]+:", target):
                continue
            links += 1
            name, _, fragment = target.partition("#")
            there = (path.parent / name).resolve() if name else path
            if there.suffix == ".svg" and there.with_suffix(".dot").exists():
                continue  # tools/docs draws it
            if not there.exists():
                problem = "leads nowhere"
            elif fragment and fragment not in {anchor(heading) for heading in re.findall(r"^#+ (.*)$", there.read_text(), re.M)}:
                problem = "has an anchor that is no heading there"
            else:
                continue
            problems += 1
            print(f"{path.relative_to(tree)}: the link to {target} {problem}")
    if not links:
        sys.exit("no link was found: nothing was tested")
    print(f"{links} links of {len(files)} files, {problems} of them wrong")
    sys.exit(problems > 0)


if __name__ == "__main__":
    main()
