"""The pages of the other problems in a real browser: buttons, keys and fields move the player."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from chromium import EXECUTABLE, Chromium

from spane_rllib.__main__ import main

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EXECUTABLE is None, reason="Chromium is not installed"),
]
EVALUATIONS = {
    "vm_rescheduling": ["--maps", "1", "--machines", "20", "--migrations", "6", "--policy", "ha"],
    "pod_migration": ["--trace", "synthetic:vms=3000", "--horizon", "24", "--policy", "threshold-greedy"],
    "gpu_jobs": ["--jobs", "synthetic:jobs=100,load=1.2", "--policy", "fcfs"],
}


def steps(recording: dict[str, Any]) -> int:
    """How many moments a page shows."""
    if "runs" in recording:
        runs = recording["runs"]
        return len({*recording["jobs"]["arrival"], *runs["start"], *runs["finish"]})
    return len(recording["rates" if "rates" in recording else "windows"])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    chromium = Chromium(tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


@pytest.mark.parametrize("problem", EVALUATIONS)
def test_the_player_moves(
    problem: str, browser: Chromium, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["evaluate", "--problem", problem, *EVALUATIONS[problem], "--record", "recorded"]) == 0
    [file, *_] = sorted(Path("recorded").rglob("*.json"))
    last = steps(json.loads(file.read_text())) - 1
    assert main(["view", str(file), "--export", "page.html"]) == 0
    browser.open(f"{(tmp_path / 'page.html').as_uri()}#1")

    def position() -> int:
        return int(browser.run("document.getElementById('position').value"))

    def settle() -> None:
        browser.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    assert position() == 1
    for key, expected in (("ArrowRight", 2), ("ArrowLeft", 1), ("End", last), ("Home", 0)):
        browser.press(key)
        settle()
        assert position() == expected
    assert browser.run("document.getElementById('back').disabled") is True
    browser.run("document.getElementById('last').click()")
    settle()
    assert position() == last
    assert browser.run("document.getElementById('forward').disabled") is True
    assert browser.problems == []
