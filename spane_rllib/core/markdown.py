"""Markdown that reports are made of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote


def inline(text: object, most: int = 300) -> str:
    """The start of `text` on one line, without what Markdown takes for a cell's end or for HTML."""
    line = " ".join(str(text).split())
    return (line if len(line) <= most else line[: most - 3] + "...").replace("|", "\\|").replace("<", "&lt;")


def table(header: Sequence[str], rows: Sequence[Sequence[object]], text_columns: int = 1) -> str:
    """A table whose first `text_columns` columns are left-aligned, the others right-aligned."""
    rule = ["---"] * text_columns + ["---:"] * (len(header) - text_columns)
    return "\n".join(f"| {' | '.join(map(inline, cells))} |" for cells in (header, rule, *rows))


def image(figure: Path, directory: Path) -> str:
    """The image file `figure` in a report that lies in `directory`."""
    relative = Path(os.path.relpath(figure, directory)).as_posix()
    return f"![{figure.stem.replace('_', ' ')}]({quote(relative)})"
