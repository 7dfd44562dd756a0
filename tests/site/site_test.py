#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the site and walks through it in a real browser, as wide as a phone and as wide as a desktop.

Usage: site_test.py SOURCE_TREE WORK_DIR. It fails if
  * Doxygen warns of anything but what is allowed below, a public name without a comment among it (tools/site/README.md);
  * a link of a page leads to no file, or to no place in that file;
  * a page is wider than the window, or reports an error to the console;
  * the search, without a server, does not find a function and a page.
"""
import html.parser
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.parse

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from browser import Browser  # noqa: E402

# The release whose warnings are counted, that of Debian 12: releases differ in what they see.
RELEASE = "1.9.4"
# It does not match these definitions with their declarations; the declarations are documented.
ALLOWED_WARNINGS = ("was not declared or defined", "no uniquely matching class member found")
# It also makes these links where nothing is: to a section that the page has not, and to concepts.
ALLOWED_LINKS = ("#nested-classes", "#concepts", "concept")
WIDTHS = ((360, 740), (1280, 900))
# Beside all pages of facade/docs: a class, a header, the lists.
REFERENCE = ("classaiofiber_1_1BasicQueue.html", "classaiofiber_1_1EventLoop.html", "annotated.html", "files.html",
             "namespaceaiofiber.html")

# What sticks out of the window and is in nothing that scrolls by itself.
TOO_WIDE = """(() => {
  const width = document.documentElement.clientWidth, found = [];
  const scrolls = element => {
    for (let e = element; e && e.id !== "doc-content" && e !== document.body; e = e.parentElement)
      if (e !== element && /auto|scroll/.test(getComputedStyle(e).overflowX)) return true;
    return false;
  };
  for (const element of document.querySelectorAll("div.header *, div.contents *")) {
    const box = element.getBoundingClientRect();
    if (box.width > 0 && box.right > width + 1 && !scrolls(element))
      found.push(element.tagName + "." + element.className + " ends at " + Math.round(box.right) + ": "
                 + element.textContent.trim().slice(0, 40));
  }
  if (document.documentElement.scrollWidth > width + 1) found.push("the document is " + document.documentElement.scrollWidth + " wide");
  return found.slice(0, 5);
})()"""


class Links(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.targets, self.places = [], set()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.places.update(attributes[name] for name in ("id", "name") if attributes.get(name))
        if tag in ("a", "img", "script", "link"):
            target = attributes.get("href") or attributes.get("src")
            if target:
                self.targets.append(target)


def warnings_of(site):
    release = subprocess.run(["doxygen", "--version"], check=True, capture_output=True, text=True).stdout.split()[0]
    if release != RELEASE:
        print(f"the warnings of doxygen {release} are not looked at, only those of {RELEASE}")
        return
    text = (site / "warnings.log").read_text()
    for line in text.splitlines():
        if ": warning: " in line and not any(allowed in line for allowed in ALLOWED_WARNINGS):
            yield line


def broken_links(site):
    pages = {}
    for path in site.glob("*.html"):
        pages[path.name] = Links()
        pages[path.name].feed(path.read_text())
    count = 0
    for name, page in pages.items():
        for target in page.targets:
            if re.match(r"[a-z]+:", target) or target.startswith(ALLOWED_LINKS):
                continue
            count += 1
            file, _, place = urllib.parse.unquote(target).partition("#")
            file = file or name
            if not (site / file).exists():
                yield f"{name}: the link to {target} leads nowhere"
            elif place and file in pages and place not in pages[file].places:
                yield f"{name}: there is no such place: {target}"
    print(f"{count} links in {len(pages)} pages")
    if count < 1000:
        yield "too few links: the site is not whole"


def walk(site, tree, work):
    names = [path.name for path in site.glob("md_facade_docs_*.html")] + ["index.html", *REFERENCE]
    if len(names) < len(list((tree / "facade/docs").glob("*.md"))) - 1:
        yield f"pages are missing: {sorted(names)}"
    browser = Browser(tempfile.mkdtemp(dir=work))
    try:
        for name in sorted(names):
            for width, height in WIDTHS:
                browser.open((site / name).as_uri(), width, height)
                for text in browser.evaluate(TOO_WIDE):
                    yield f"{name} at {width}: {text}"
                for text in browser.console_errors():
                    yield f"{name} at {width}: the console says {text}"
        for words, expected in (("wait_for", "wait_for"), ("ten-minute", "Ten-minute tour")):
            browser.open((site / "index.html").as_uri(), *WIDTHS[1])
            if not browser.wait_until("document.getElementById('MSearchField') !== null && typeof searchBox === 'object'"):
                yield "there is no field to search"
                return
            browser.evaluate(f"""(() => {{ const field = document.getElementById("MSearchField");
                field.focus(); field.value = "{words}"; searchBox.Search(); }})()""")
            # Older releases show the results in a frame, newer ones in the page.
            there = f"""[document, ...[...document.querySelectorAll("iframe")].map(f => f.contentDocument)].some(d => d &&
                [...d.querySelectorAll(".SRResult, .SRSymbol")].some(
                  e => e.offsetParent !== null && e.textContent.includes("{expected}")))"""
            if not browser.wait_until(there):
                yield f"the search for '{words}' does not find '{expected}'"
        print(f"{len(names)} pages seen at {len(WIDTHS)} widths")
    finally:
        browser.close()


def main():
    tree, work = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    work.mkdir(parents=True, exist_ok=True)
    site = work / "site"
    subprocess.run([str(tree / "tools/docs"), str(site)], check=True)
    problems = [*warnings_of(site), *broken_links(site), *walk(site, tree, work)]
    for problem in problems:
        print(problem)
    sys.exit(len(problems) > 0)


if __name__ == "__main__":
    main()
