"""Recordings as JSON through the viewer: they name a problem, and must not make it run code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from refusals import Refuse

GOOD = {"format": "spane_rllib recording", "version": 1, "problem": "pod_migration"}
RECORDINGS: dict[str, tuple[Any, str]] = {
    "nothing": ("", "is empty"),
    "no JSON": ("{", "damaged or no recording"),
    "deep": ("[" * 100_000, "damaged or no recording"),
    "a list": ([], "no recording; give a file that evaluate --record wrote"),
    "another format": ({"format": "x"}, "no recording"),
    "another version": (GOOD | {"version": 99}, "of another version"),
    "no problem": (GOOD | {"problem": None}, "names no problem"),
    "an unknown problem": (GOOD | {"problem": "x"}, "no problem is called 'x'"),
    "code": (GOOD | {"problem": "mine:PROBLEM"}, "mine:PROBLEM is code of somebody's own"),
    "code of the standard library": (
        GOOD | {"problem": "zipapp:create_archive"},
        "is code of somebody's own",
    ),
    "no content": (GOOD, "a.json"),
    "binary": (b"\x00\xff", "is a binary file"),
    "UTF-16": ("{}".encode("utf-16"), "UTF-16"),
}


@pytest.mark.parametrize(("content", "expected"), RECORDINGS.values(), ids=RECORDINGS)
def test_bad_recording(refuse: Refuse, place: Path, content: Any, expected: str) -> None:
    (place / "mine.py").write_text("open('sprung', 'w').close()\n")
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    (place / "a.json").write_bytes(content)
    assert expected in refuse("view", "a.json", "--no-browser")
    assert not (place / "sprung").exists()


def test_a_pipe_is_no_recording(refuse: Refuse, place: Path) -> None:
    os.mkfifo(place / "a.json")
    assert "it is a pipe" in refuse("view", "a.json", "--no-browser")
