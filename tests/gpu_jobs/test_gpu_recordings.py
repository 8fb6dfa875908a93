"""Recorded schedules: which GPUs a job held, read again, drawn as a page and as frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_second_implementation import CLUSTERS, random_jobs

from spane_rllib.core.errors import UserError
from spane_rllib.evaluate import main as evaluate
from spane_rllib.problems.gpu_jobs.policies import HEURISTICS, Rules
from spane_rllib.problems.gpu_jobs.viewing.animation import ScheduleAnimation, held_pixels, waiting_at
from spane_rllib.problems.gpu_jobs.viewing.recorder import record_schedule
from spane_rllib.problems.gpu_jobs.viewing.viewer import RecordedSchedule, ScheduleViewer
from spane_rllib.problems.recordings import read_recording
from spane_rllib.viewer.page import render_page


def read(file: Path) -> RecordedSchedule:
    return ScheduleViewer().read(file, read_recording(file)[1])


def record(folder: Path, policy: str, cluster: str, horizon: float = np.inf, seed: int = 0) -> Path:
    jobs = random_jobs(seed, shares=CLUSTERS[cluster].split != "any")
    schedule = HEURISTICS[policy].schedule(jobs, CLUSTERS[cluster], Rules(horizon=horizon))
    return record_schedule(schedule, CLUSTERS[cluster], policy, f"{cluster} {seed}", folder)


@pytest.mark.parametrize("policy", ["fcfs", "srtf"])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_every_run_has_the_gpus_that_the_simulator_took(tmp_path: Path, cluster: str, policy: str) -> None:
    for seed, horizon in enumerate((np.inf, 150.0)):
        jobs = random_jobs(seed, shares=CLUSTERS[cluster].split != "any")
        schedule = HEURISTICS[policy].schedule(jobs, CLUSTERS[cluster], Rules(horizon=horizon))
        recording = read(record(tmp_path, policy, cluster, horizon, seed))  # no GPU is held twice
        kind = np.repeat(np.arange(len(recording.types)), [number for _, number in recording.types])
        at, last = 0, {}
        for run, job in enumerate(recording.runs.job):
            held = int(np.ceil(jobs.gpus[job]))
            last[job] = recording.runs.gpus[at : at + held], recording.runs.finish[run]
            at += held
        for job, (gpus, finish) in last.items():
            if np.isfinite(schedule.finish[job]):
                assert finish == pytest.approx(schedule.finish[job], abs=1e-3)
                if jobs.gpus[job] >= 1:
                    counts = np.bincount(kind[gpus], minlength=len(recording.types))
                    np.testing.assert_array_equal(counts, schedule.taken[job])
        whole = np.array([waiting_at(recording, np.array([recording.end]))[0], len(recording.unfinished)])
        np.testing.assert_array_equal(
            whole, [schedule.queued.sum() + interrupted(recording), schedule.running.sum()]
        )


def interrupted(recording: RecordedSchedule) -> int:
    """Jobs that had run and waited again at the end."""
    last = dict(zip(recording.runs.job, recording.runs.finish, strict=True))
    return sum(last[job] < recording.end for job in recording.unfinished)


def test_pixels_are_shares_of_time_and_gpus(tmp_path: Path) -> None:
    recording = read(record(tmp_path, "fcfs", "small"))
    edges = np.linspace(recording.jobs.arrival[0], recording.end, 41)
    pixels = held_pixels(recording, edges)
    assert pixels.shape == (10, 40, 3)
    ground = (0xF2, 0xF4, 0xF7)
    held = (pixels != ground).any(axis=2)
    gpus = iter(recording.runs.gpus)
    for job, start, finish in zip(
        recording.runs.job, recording.runs.start, recording.runs.finish, strict=True
    ):
        inside = (edges[:-1] >= start) & (edges[1:] <= finish)
        for _ in range(int(recording.jobs.gpus[job])):
            assert held[next(gpus)][inside].all()


def test_a_pair_is_drawn(tmp_path: Path) -> None:
    viewer = ScheduleViewer()
    pair = [read(record(tmp_path, policy, "small")) for policy in ("fcfs", "srtf")]
    viewer.check_pair(*pair)
    page = render_page(viewer.page(pair))
    assert "GpuSchedule" in page and "small 0" in page
    animation = ScheduleAnimation(pair)
    for moment in (animation.moments[0], animation.moments[-1]):
        animation.draw(moment)
    with pytest.raises(UserError, match="not of the same jobs"):
        viewer.check_pair(pair[0], read(record(tmp_path, "fcfs", "small", seed=1)))


DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "columns": ({"jobs": {"runtime": [1.0]}}, "columns of its jobs differ"),
    "run columns": ({"runs": {"finish": [1.0]}}, "columns of its runs differ"),
    "a job": ({"unfinished": [999]}, "a job that there is not"),
    "end": ({"end": 3.0}, "outside of the schedule"),
    "GPUs": ({"types": [["one", 1]]}, "GPUs are not those"),
    "types": ({"types": [["none", 0]]}, "types"),
    "no types": ({"types": 3}, "types"),
    "text": ({"runs": {"start": ["x"]}}, "runs.start"),
}


@pytest.mark.parametrize(("change", "expected"), DAMAGES.values(), ids=DAMAGES)
def test_damaged_recordings(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    file = record(tmp_path, "fcfs", "small")
    content = json.loads(file.read_text())
    for key, value in change.items():
        content[key] = content[key] | value if isinstance(value, dict) else value
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match=expected):
        read(file)


def test_a_gpu_held_twice_is_refused(tmp_path: Path) -> None:
    file = record(tmp_path, "fcfs", "small")
    content = json.loads(file.read_text())
    content["runs"]["gpus"] = [0] * len(content["runs"]["gpus"])
    file.write_text(json.dumps(content))
    with pytest.raises(UserError, match="held twice"):
        read(file)


def test_evaluate_records_whole_workloads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--problem", "gpu_jobs", "--jobs", "synthetic:jobs=60,load=1.1", "--policy", "fcfs"]
    assert evaluate([*words, "--record", str(tmp_path)]) == 0
    [file] = tmp_path.iterdir()
    assert len(read(file).jobs.number) == 60
    with pytest.raises(UserError, match="a recording is a whole workload"):
        evaluate([*words, "--record", str(tmp_path), "--record-episodes", "2"])
