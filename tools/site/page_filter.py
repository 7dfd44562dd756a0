#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Gives Doxygen a page of Markdown as it wants it: links to files that are no pages of the site become plain text.

A page can be read where it is kept, too, beside the sources; there such a link leads to the file.
"""
import os
import re
import sys


def convert(path, text, pages):
    folder = os.path.dirname(path)

    def link(found):
        target = found.group(2).partition("#")[0]
        if "://" in target or not target or os.path.normpath(os.path.join(folder, target)) in pages or target.endswith(".svg"):
            return found.group(0)
        return f"{found.group(1)} (`{os.path.normpath(os.path.join(folder, target))}`)"

    text = re.sub(r"\A# .*", lambda title: title.group(0).replace("`", ""), text)  # Doxygen shows them as they are in its list
    parts = re.split(r"(^```.*?^```$)", text, flags=re.S | re.M)
    for i in range(0, len(parts), 2):
        parts[i] = re.sub(r"<!--.*?-->\n?", "", parts[i], flags=re.S)
        # Within single backticks Doxygen takes an apostrophe for the end.
        parts[i] = re.sub(r"(?<!`)`([^`\n]*'[^`\n]*)`(?!`)", r"``\1``", parts[i])
        parts[i] = re.sub(r"!\[([^\]]*)\]\((?:[^)\s]*/)?([^)\s/]+)\)", r"![\1](\2)", parts[i])  # Doxygen finds images by their names
        parts[i] = re.sub(r"(?<!!)\[([^\]]*)\]\(([^)\s]+)\)", link, parts[i])
    return "".join(parts)


def main():
    path = os.path.relpath(sys.argv[1])
    pages = set(os.environ.get("AIOFIBER_SITE_PAGES", "").split())
    with open(path, encoding="utf-8") as file:
        sys.stdout.write(convert(path, file.read(), pages))


if __name__ == "__main__":
    main()
