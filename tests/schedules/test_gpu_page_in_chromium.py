"""The page of GPU jobs in a real browser: what it counts, zoom, choosing a job, a hundred thousand jobs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from chromium import EXECUTABLE, Chromium

from spane_rllib.__main__ import main
from spane_rllib.problems.gpu_jobs.viewing.animation import waiting_at
from spane_rllib.problems.gpu_jobs.viewing.viewer import ScheduleViewer
from spane_rllib.problems.recordings import read_recording

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(EXECUTABLE is None, reason="Chromium is not installed"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    chromium = Chromium(tmp_path_factory.mktemp("profile"))
    yield chromium
    chromium.close()


def record(folder: Path, jobs: str) -> list[Path]:
    """Recordings of two policies, and `page.html` that shows both."""
    policies = ["--policy", "fcfs", "--policy", "sjf"]
    words = ["evaluate", "--problem", "gpu_jobs", "--jobs", jobs, *policies]
    assert main([*words, "--record", str(folder)]) == 0
    files = sorted(folder.glob("*.json"))
    assert main(["view", *map(str, files), "--export", str(folder / "page.html")]) == 0
    return files


def number(browser: Chromium, field: str, side: int) -> int:
    return int(browser.text(f"[data-field={field}]", side).replace(",", ""))


def test_the_page_counts_as_the_recordings_do(browser: Chromium, tmp_path: Path) -> None:
    files = record(tmp_path, "synthetic:jobs=300,load=1.3")
    recordings = [ScheduleViewer().read(file, read_recording(file)[1]) for file in files]
    times = np.unique(
        [
            time
            for one in recordings
            for column in (one.jobs.arrival, one.runs.start, one.runs.finish)
            for time in column
        ]
    )
    for width in (1366, 800):
        for step in (0, len(times) // 2, len(times) - 1):
            browser.open(f"{(tmp_path / 'page.html').as_uri()}#{step}", width=width)
            for side, recording in enumerate(recordings):
                at = times[step : step + 1]
                assert number(browser, "waiting", side) == waiting_at(recording, at)[0]
                assert number(browser, "completed", side) == (np.array(recording.runs.finish) <= at).sum()
            assert browser.run("document.documentElement.scrollWidth <= window.innerWidth")
    assert browser.problems == []
    assert browser.requests == [f"{(tmp_path / 'page.html').as_uri()}"]


def test_zoom_choice_and_jumps(browser: Chromium, tmp_path: Path) -> None:
    [first, second] = [
        ScheduleViewer().read(file, read_recording(file)[1])
        for file in record(tmp_path, "synthetic:jobs=300,load=1.3")
    ]
    browser.open((tmp_path / "page.html").as_uri())
    shown = browser.run("document.querySelector('.stage canvas').toDataURL()")
    for key in "ii":
        browser.press(key)
    assert browser.run("document.querySelector('.stage canvas').toDataURL()") != shown
    browser.press("a")
    assert browser.run("document.querySelector('.stage canvas').toDataURL()") == shown
    browser.press("d")
    started = [dict(zip(one.runs.job, one.runs.start, strict=True)) for one in (first, second)]
    differs = min(
        min(one[job] for one in started) for job in started[0] if started[0][job] != started[1][job]
    )
    hours = browser.text("#clock").split(" d ")
    days, clock = int(hours[0]), [int(part) for part in hours[1].split(":")]
    assert days * 86_400 + clock[0] * 3600 + clock[1] * 60 + clock[2] == int(differs)
    browser.press("Home")
    browser.press("w")
    assert int(browser.run("document.getElementById('position').value")) > 0
    browser.press("End")
    told = []
    for at in (0.15, 0.2, 0.25, 0.3, 0.35):  # not every GPU is held all the time
        browser.drag(".stage canvas", at, at + 0.005)
        told.append(browser.text("#tooltip"))
    assert any("GPUs, priority" in text for text in told)
    assert browser.problems == []


def test_a_hundred_thousand_jobs(browser: Chromium, tmp_path: Path) -> None:
    record(tmp_path, "synthetic:jobs=100000,load=1.1")
    browser.open((tmp_path / "page.html").as_uri())
    browser.press("End")
    for side in range(2):
        assert number(browser, "completed", side) == 100_000
    browser.press("i")
    browser.run("document.getElementById('play').click()")
    assert browser.problems == []
