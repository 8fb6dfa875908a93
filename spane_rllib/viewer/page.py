"""The page that shows recordings: one HTML file with its styles, scripts and data inside."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_scheduling.recordings.schedule import Schedule

# A module comes after those it imports.
_MODULES = (
    "format.js",
    "surface.js",
    "episode.js",
    "timeline.js",
    "trend.js",
    "bars.js",
    "heatmap.js",
    "overview.js",
    "player.js",
    "side.js",
    "main.js",
)
_DESCRIPTION = ("policy", "trace", "start", "source", "scenario")
_IMPORT_OR_EXPORT = re.compile(r"^import .*?;\n|^export ", re.MULTILINE | re.DOTALL)


def render_page(schedules: Sequence[Schedule]) -> str:
    """The page for one schedule, or for two on the same arrivals side by side.

    It loads nothing: everything is inside, and its policy forbids any connection.

    Raises:
        UserError: two schedules are not of the same arrivals, or VMs wait in one of them only.
    """
    if len(schedules) == 2:
        _check_comparable(*schedules)
    script = f'"use strict";\n(() => {{\n{_bundle()}\n}})();'
    style = _read("style.css")
    sources = f"script-src '{_hash(script)}'; style-src '{_hash(style)}'"
    parts = {
        "policy": f"default-src 'none'; img-src data:; {sources}",
        "title": html.escape(" and ".join(schedule.policy for schedule in schedules)),
        "style": style,
        "recordings": _json([_plain(schedule) for schedule in schedules]),
        "script": script,
    }
    return re.sub(r"{{(\w+)}}", lambda match: parts[match[1]], _read("index.html"))


def _check_comparable(first: Schedule, second: Schedule) -> None:
    both = min(len(first.vms.number), len(second.vms.number))
    for name in ("number", "cpu", "memory", "arrival"):
        if not np.array_equal(getattr(first.vms, name)[:both], getattr(second.vms, name)[:both]):
            raise UserError(
                f"{first.policy} (start {first.start}) and {second.policy} (start {second.start}) are not "
                "of the same arrivals; give two recordings of one trace and start"
            )
    if bool(first.scenario) != bool(second.scenario):
        waiting, other = (second, first) if first.scenario else (first, second)
        raise UserError(
            f"VMs wait for {waiting.policy} but not for {other.policy}; give two recordings of one kind"
        )


def _bundle() -> str:
    """The modules as one script: their names are distinct, so imports and exports can go."""
    return "\n".join(_IMPORT_OR_EXPORT.sub("", _read(name)) for name in _MODULES)


def _read(name: str) -> str:
    return (files(__package__) / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _plain(schedule: Schedule) -> dict[str, Any]:
    """What the page's `Episode` takes."""
    plain: dict[str, Any] = {name: getattr(schedule, name) for name in _DESCRIPTION}
    for table in ("vms", "events", "servers"):
        plain[table] = {name: _numbers(column) for name, column in getattr(schedule, table)._asdict().items()}
    return plain


def _numbers(column: npt.NDArray[Any]) -> list[Any]:
    """The values as short as they can be written; null for infinity, which JSON lacks."""
    if (column == np.rint(column)).all() and (np.abs(column) < 2**53).all():
        return column.astype(np.int64).tolist()
    return [None if value == np.inf else value for value in column.tolist()]


def _json(value: Any) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")
