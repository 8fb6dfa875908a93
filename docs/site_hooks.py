"""What the site changes: the README is its home, and files of the repository are named, not linked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"\[([^\]]+)\]\(([^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Called by mkdocs for every page."""
    if page.file.src_uri == "index.md":
        markdown = markdown.replace("{{readme}}", (_ROOT / "README.md").read_text(encoding="utf-8"))
        return _LINK.sub(lambda match: _link(*match.groups(), prefix="docs/"), markdown)
    return _LINK.sub(lambda match: _link(*match.groups(), prefix=""), markdown)


def _link(text: str, target: str, prefix: str) -> str:
    """A link to a page of the site or elsewhere stays; one to a file of the repository becomes its name."""
    if prefix and target.startswith(prefix):
        return f"[{text}]({target.removeprefix(prefix)})"
    outside = target.startswith("../") if not prefix else not re.match(r"[a-z]+:|#", target)
    if not outside:
        return f"[{text}]({target})"
    name = target.removeprefix("../")
    return text if text.strip("`").rstrip("/") == name.rstrip("/") else f"{text} (`{name}`)"
