"""How recorded schedules are read, compared and drawn. Light until asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Settings, validated
from spane_rllib.problems.viewing import Animation, Viewer

Index = Annotated[int, Field(ge=0)]
Time = Annotated[float, Field(ge=-1e13, le=1e13)]


class RecordedJobs(Settings):
    """Jobs in the order of arrival, a list for each column; seconds."""

    number: Annotated[list[int], Field(min_length=1, max_length=2_000_000)]
    arrival: list[Time]
    runtime: list[Annotated[float, Field(gt=0)]]
    gpus: list[Annotated[float, Field(ge=0, le=1e6)]]
    priority: list[float]


class RecordedRuns(Settings):
    """Runs in the order of their starts; `gpus` are those of all runs, one after the other."""

    job: Annotated[list[Index], Field(max_length=10_000_000)]
    start: list[Time]
    finish: list[Time]
    gpus: list[Index]


class RecordedSchedule(Settings):
    """A schedule, as `recorder.record_schedule` writes it; `unfinished`: jobs that had begun, not ended."""

    policy: str
    workload: str
    end: Time
    types: Annotated[
        list[tuple[str, Annotated[int, Field(ge=1, le=1_000_000)]]], Field(min_length=1, max_length=1000)
    ]
    jobs: RecordedJobs
    runs: RecordedRuns
    unfinished: list[Index]


class ScheduleViewer(Viewer):
    """Recordings of `evaluate --record` (`.json`)."""

    modules = ("gpu_schedule.js", "gpu_pixels.js", "gpu_chart.js", "gpu_main.js")

    def read(self, file: Path, content: Mapping[str, Any]) -> RecordedSchedule:
        types = content.get("types")
        if isinstance(types, list):  # JSON knows no tuples
            content = {
                **content,
                "types": [tuple(one) if isinstance(one, list) else one for one in types],
            }
        recording = validated(RecordedSchedule, content, str(file))
        if problem := _contradiction(recording):
            raise UserError(f"{file}: {problem}; record it again")
        return recording

    def check_pair(self, first: RecordedSchedule, second: RecordedSchedule) -> None:
        """They must be of the same jobs on the same GPUs."""
        shown = min(len(first.jobs.number), len(second.jobs.number))  # fewer where the horizon is nearer
        same = all(
            getattr(first.jobs, name)[:shown] == getattr(second.jobs, name)[:shown]
            for name in RecordedJobs.model_fields
        )
        if not same or first.types != second.types:
            raise UserError(
                f"{first.policy} ({first.workload}) and {second.policy} ({second.workload}) are not of the "
                "same jobs on the same GPUs; give two recordings of one workload, cluster and rules"
            )

    def animation(self, recordings: Sequence[RecordedSchedule]) -> Animation:
        from spane_rllib.problems.gpu_jobs.viewing.animation import ScheduleAnimation

        animation: Any = ScheduleAnimation(recordings)
        return animation


def _contradiction(recording: RecordedSchedule) -> str:
    """What cannot be in a schedule, or nothing."""
    import numpy as np

    jobs, runs = recording.jobs, recording.runs
    count, gpus = len(jobs.number), sum(number for _, number in recording.types)
    columns = (jobs.arrival, jobs.runtime, jobs.gpus, jobs.priority)
    if {len(column) for column in columns} != {count}:
        return "the columns of its jobs differ in length"
    if {len(runs.start), len(runs.finish)} != {len(runs.job)}:
        return "the columns of its runs differ in length"
    if max([*runs.job, *recording.unfinished], default=0) >= count:
        return f"a job that there is not among {count}"
    job, asked = np.array(runs.job, int), np.array(jobs.gpus)
    start, finish, arrival = np.array(runs.start), np.array(runs.finish), np.array(jobs.arrival)
    if (np.diff(arrival) < 0).any() or (np.diff(start) < 0).any():
        return "its jobs or runs are not in the order of time"
    if (start < arrival[job]).any() or (finish < start).any() or (finish > recording.end).any():
        return "a run that ends before it begins, or is outside of the schedule"
    held = np.ceil(asked[job]).astype(int)
    used = np.array(runs.gpus, int)
    if len(used) != held.sum() or (used >= gpus).any():
        return f"its GPUs are not those that its jobs ask for, of {gpus}"
    # No GPU may be given twice: in the order of time, ends first, no GPU comes to more than one.
    run = np.repeat(np.arange(len(job)), held)
    share = np.minimum(asked[job[run]], 1.0)
    key = np.concatenate([used, used])
    time = np.concatenate([finish[run], start[run]])
    begins = np.repeat([0, 1], len(run))
    order = np.lexsort([begins, time, key])
    if (np.cumsum(np.concatenate([-share, share])[order]) > 1 + 1e-6).any():
        return "a GPU is held twice at the same time"
    return ""
