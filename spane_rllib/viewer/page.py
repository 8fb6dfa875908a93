"""The page that shows recordings: one HTML file with its styles, scripts and data inside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import textwrap
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from spane_rllib.problems.viewing import Page

_SHARED = ("format.js", "surface.js", "player.js", "controls.js")
_PLAYBACK = re.compile(r"( *){{playback by (\w+)}}\n")
_IMPORT_OR_EXPORT = re.compile(r"^import .*?;\n|^export ", re.MULTILINE | re.DOTALL)


def render_page(page: Page) -> str:
    """The page as one file.

    It loads nothing: everything is inside, and its policy forbids any connection.
    """
    script = f'"use strict";\n(() => {{\n{bundle(page.package, page.modules)}\n}})();'
    style = _read(__package__, "base.css") + _read(page.package, "style.css")
    sources = f"script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    parts = {
        "policy": f"default-src 'none'; img-src data:; {sources}",
        "title": html.escape(page.title),
        "style": style,
        "body": body(page.package),
        "recordings": _json(page.recordings),
        "script": script,
    }
    frame = _read(__package__, "frame.html")
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], frame)


def body(package: str) -> str:
    """A problem's `body.html` with the buttons that all pages share, at `{{playback by STEP}}`."""
    buttons = _read(__package__, "playback.html")

    def of_steps(place: re.Match[str]) -> str:
        indent, step = place.groups()
        text = buttons.replace("{{step}}", step).replace("{{steps}}", f"{step.capitalize()}s")
        return textwrap.indent(text, indent)

    return _PLAYBACK.sub(of_steps, _read(package, "body.html")).rstrip()


def bundle(package: str, modules: Sequence[str]) -> str:
    """The viewer's modules and a problem's in one: names are distinct, so imports and exports can go."""
    texts = [_read(__package__, name) for name in _SHARED] + [_read(package, name) for name in modules]
    return "\n".join(_IMPORT_OR_EXPORT.sub("", text) for text in texts)


def _read(package: str, name: str) -> str:
    return (files(package) / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _json(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
