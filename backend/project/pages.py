"""The guide as web pages, which the extension's zip brings along: of the Markdown that docs/ is written in. Standard library only."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from backend.project.common import ROOT, BuildError

DOCS = ROOT / "docs"
SHIPPED = ("user-guide", "install", "troubleshooting", "editing", "looks", "light", "farm", "rig-file")
HEAD = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>
body {{ max-width: 50em; margin: 2em auto; padding: 0 1em; font: 16px/1.5 sans-serif; color: #222; background: #fff }}
img {{ max-width: 100% }} table {{ border-collapse: collapse }} td, th {{ border: 1px solid #ccc; padding: .3em .6em; text-align: left }}
code, pre {{ background: #f2f2f2 }} pre {{ padding: .6em; overflow-x: auto }} nav a {{ margin-right: 1em }}
</style></head><body><nav>{links}</nav>
"""
ITEM = re.compile(r"(?:-|\d+\.) +")
INLINE = re.compile(r"`(?P<code>[^`]+)`|!\[(?P<alt>[^\]]*)\]\((?P<image>[^)]+)\)|\[(?P<words>[^\]]*)\]\((?P<link>[^)]+)\)"
                    r"|\*\*(?P<strong>[^*]+)\*\*|\*(?P<soft>[^*\s][^*]*)\*")  # fmt: skip


def guide() -> Iterator[tuple[str, bytes]]:
    """Names and contents of the pages and of the pictures in them. BuildError names one that is missing."""
    pictures = set()
    for name in SHIPPED:
        text = read(DOCS / f"{name}.md").decode("utf-8")
        pictures |= set(re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text))
        yield f"{name}.html", page(text).encode("utf-8")
    for name in sorted(pictures):
        yield name, read(DOCS / name)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BuildError(f"{path} is missing: this checkout is not whole.") from error


def page(markdown: str) -> str:
    """A whole page, with links to the other pages at its top."""
    parts = [block(kind, lines) for kind, lines in blocks(markdown.splitlines())]
    links = " ".join(f'<a href="{name}.html">{name.replace("-", " ").capitalize()}</a>' for name in SHIPPED)
    title = markdown.partition("\n")[0].lstrip("# ")
    return HEAD.format(title=f"StyleRig: {html.escape(title)}", links=links) + "\n".join(parts) + "\n</body></html>\n"


def blocks(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Lines that belong together, and what they are."""
    for kind, group in groupby(zip(kinds(lines), lines, strict=True), key=lambda entry: entry[0]):
        if kind:
            yield kind, [line for _, line in group]


def kinds(lines: list[str]) -> Iterator[str]:
    """What each line is: heading, table, list, code, text, or nothing."""
    before, fenced = "", False
    for line in lines:
        if line.startswith("```"):
            fenced, before = not fenced, ""
        elif fenced:
            before = "code"
        elif not line.strip() or line.startswith("<!--"):
            before = ""
        elif line.startswith("#"):
            before = "heading"
        elif line.startswith("|"):
            before = "table"
        elif ITEM.match(line):
            before = "list"
        elif not (line.startswith("  ") and before == "list"):
            before = "code" if line.startswith("    ") and before in ("", "code") else "text"
        yield before


def block(kind: str, lines: list[str]) -> str:
    """HTML of lines of one kind."""
    if kind == "heading":
        return "\n".join(map(heading, lines))
    if kind == "table":
        return table(lines)
    if kind == "list":
        return listing(lines)
    if kind == "code":
        return f"<pre>{html.escape(chr(10).join(line.removeprefix('    ') for line in lines))}</pre>"
    return f"<p>{inline(chr(10).join(lines))}</p>"


def heading(line: str) -> str:
    marks, _, words = line.partition(" ")
    return f'<h{len(marks)} id="{anchor(words)}">{inline(words)}</h{len(marks)}>'


def anchor(words: str) -> str:
    """What links to a heading end with, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")


def table(lines: list[str]) -> str:
    """The first row is the head, unless it is empty; the second draws the line below it."""
    first, _line, *rest = [cells(line) for line in lines]
    head = row(first, "th") if any(first) else ""
    return f"<table>{head}{''.join(row(one, 'td') for one in rest)}</table>"


def cells(line: str) -> list[str]:
    return [cell.strip().replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]


def row(entries: list[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{inline(entry)}</{tag}>" for entry in entries) + "</tr>"


def listing(lines: list[str]) -> str:
    items: list[list[str]] = []
    for line in lines:
        if ITEM.match(line):
            items.append([])
        items[-1].append(ITEM.sub("", line, count=1) if not items[-1] else line.strip())
    tag = "ul" if lines[0].startswith("-") else "ol"
    return f"<{tag}>{''.join(f'<li>{inline(chr(10).join(item))}</li>' for item in items)}</{tag}>"


def inline(text: str) -> str:
    """Code, pictures, links and emphasis within a paragraph."""
    parts, end = [], 0
    for found in INLINE.finditer(text):
        parts += [html.escape(text[end : found.start()], quote=False), marked(found)]
        end = found.end()
    return "".join([*parts, html.escape(text[end:], quote=False)])


def marked(found: re.Match) -> str:
    """HTML of one of what INLINE finds."""
    part = found.groupdict()
    if part["code"]:
        return f"<code>{html.escape(part['code'])}</code>"
    if part["image"]:
        return f'<img src="{html.escape(part["image"])}" alt="{html.escape(part["alt"])}">'
    if part["link"]:
        return linked(inline(part["words"]), part["link"])
    return f"<strong>{inline(part['strong'])}</strong>" if part["strong"] else f"<em>{inline(part['soft'])}</em>"


def linked(words: str, link: str) -> str:
    """A link to a page that is here, to the web or within the page; of others the words alone."""
    name, mark, place = link.partition("#")
    if name.removesuffix(".md") in SHIPPED:
        name = name.removesuffix(".md") + ".html"
    elif name and "://" not in name:
        return words
    return f'<a href="{html.escape(name + mark + place)}">{words}</a>'
