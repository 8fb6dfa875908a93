"""`report.html`: the Markdown of a report as one page that needs no other file and no network.

Recordings are pages beside it, to which it links.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222;
  max-width: 1100px; margin: 2em auto; padding: 0 1em }
h1, h2 { line-height: 1.2; margin-top: 1.6em } h1 { margin-top: 0 }
.wide { overflow-x: auto; margin: 1em 0 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; white-space: nowrap; text-align: left }
th { border-bottom: 2px solid #888; cursor: pointer; background: #fff }
th[aria-sort=ascending]::after { content: " \\25B2" } th[aria-sort=descending]::after { content: " \\25BC" }
.number { text-align: right } tbody tr:hover { background: #f3f6fa }
pre { background: #f5f5f5; padding: .7em 1em; overflow-x: auto } code { font-size: .92em }
figure { margin: 1.5em 0 } img { max-width: 100%; height: auto } figcaption { color: #555 }
"""
# Sorts a table by the column whose head is clicked: numbers by value, what is none at the end.
_SCRIPT = """
const value = cell => {
  const text = cell.textContent.replace(/[,*%]/g, "").trim();
  return text !== "" && !isNaN(parseFloat(text)) && /^[-+\\d.]/.test(text) ? parseFloat(text) : text;
};
for (const head of document.querySelectorAll("th")) {
  head.tabIndex = 0;
  const sort = () => {
    const table = head.closest("table"), column = head.cellIndex, body = table.tBodies[0];
    const sign = head.ariaSort === "ascending" ? -1 : 1;
    table.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
    const rows = [...body.rows].map(row => [value(row.cells[column]), row]);
    rows.sort(([a], [b]) => {
      if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
      return sign * (typeof a === "number" ? a - b : a.localeCompare(b));
    });
    body.append(...rows.map(([, row]) => row));
  };
  head.onclick = sort;
  head.onkeydown = event => { if (event.key === "Enter") sort(); };
}
"""


# Only to pages beside the report, whatever a name in a table looks like.
_LINK = re.compile(r"\[([^\]]+)\]\((recordings/\w+\.html)\)")


def html_page(title: str, blocks: Iterable[str], folder: Path) -> str:
    """The page of Markdown `blocks` as `core.markdown` makes them; images are read from `folder`."""
    body = "\n".join(part for block in blocks for part in _parts(block, folder))
    # Nothing is loaded from anywhere, whatever names in the tables say.
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(title)}</title>\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{_STYLE}</style>\n</head>\n<body>\n{body}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _parts(block: str, folder: Path) -> Iterator[str]:
    """A block of Markdown as HTML."""
    pieces = re.split(r"^```\n(.*?)\n```$", block, flags=re.S | re.M)
    for index, piece in enumerate(pieces):
        if index % 2:
            yield f"<pre><code>{escape(piece)}</code></pre>"
            continue
        for paragraph in filter(None, (text.strip() for text in piece.split("\n\n"))):
            yield from _paragraph(paragraph, folder)


def _paragraph(text: str, folder: Path) -> Iterator[str]:
    kinds = {"#": "heading", "|": "table", "-": "list", "!": "image"}

    def kind(line: str) -> str:
        return kinds.get(line[:1], "text") if line[:2] != "**" else "text"

    for found, group in groupby(text.splitlines(), kind):
        lines = list(group)
        if found == "heading":
            for line in lines:
                level = len(line) - len(line.lstrip("#"))
                yield f"<h{level}>{_inline(line[level:].strip())}</h{level}>"
        elif found == "table":
            yield _table(lines)
        elif found == "list":
            items = "".join(f"<li>{_inline(line.removeprefix('- '))}</li>" for line in lines)
            yield f"<ul>{items}</ul>"
        elif found == "image":
            yield from (_image(line, folder) for line in lines)
        else:
            yield f"<p>{_inline(' '.join(lines))}</p>"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip()[1:-1])]


def _table(lines: list[str]) -> str:
    header, rule, *rows = map(_cells, lines)
    kinds = ["number" if cell.endswith(":") else "text" for cell in rule]

    def row(cells: list[str], tag: str) -> str:
        pairs = zip(cells, kinds, strict=True)
        inside = "".join(f'<{tag} class="{kind}">{_inline(cell)}</{tag}>' for cell, kind in pairs)
        return f"<tr>{inside}</tr>"

    body = "".join(row(cells, "td") for cells in rows)
    head = row(header, "th")
    return f'<div class="wide"><table><thead>{head}</thead><tbody>{body}</tbody></table></div>'


def _image(line: str, folder: Path) -> str:
    match = re.fullmatch(r"!\[(.*)\]\((.*)\)", line)
    if match is None:
        return f"<p>{_inline(line)}</p>"
    data = base64.b64encode((folder / unquote(match[2])).read_bytes()).decode()
    name = escape(match[1])
    return (
        f'<figure><img alt="{name}" src="data:image/png;base64,{data}">'
        f"<figcaption>{name}</figcaption></figure>"
    )


def _inline(text: str) -> str:
    """Bold and code; whatever else stands there is shown as it is."""
    # Markdown has these escaped already.
    shown = escape(text.replace("\\|", "|").replace("&lt;", "<"))
    shown = _LINK.sub(r'<a href="\2">\1</a>', shown)
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", shown)
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", shown)
