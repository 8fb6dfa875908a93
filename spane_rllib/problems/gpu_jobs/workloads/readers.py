"""Jobs out of files: the plain CSV form and the public raw tables."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.datasets.table import Table, read_table
from spane_rllib.datasets.task_events import (
    GOOGLE_2011,
    GOOGLE_2019,
    EventForm,
    request_column,
    task_spans,
)
from spane_rllib.datasets.text import read_text
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Floats, Jobs, make_jobs
from spane_rllib.problems.gpu_jobs.workloads.settings import ReadingSettings

SHORTEST_S = 1.0
"""Jobs that run no longer are dropped, as the reference drops them."""

LONGEST_S = 1e12
"""Times of plain files go no further, so that sums of them keep their seconds."""


def read_jobs(file: Path, settings: ReadingSettings) -> Jobs:
    """The jobs in a file, in order of arrival; those that run for at most a second are dropped.

    Raises:
        UserError: the file is not what `settings.form` says, with the row that is wrong.
    """
    jobs = _READERS[settings.form](file, settings)
    kept = jobs.runtime > SHORTEST_S
    if not kept.any():
        raise UserError(f"{file}: no job runs for more than a second; is it of the form {settings.form}?")
    return jobs.at(np.flatnonzero(kept))


def _plain(file: Path, settings: ReadingSettings) -> Jobs:
    table = read_table(file)
    gpus = table.numbers("gpus", default=1.0, low=0.0, high=1e6)
    split = (gpus > 1) & (gpus != np.rint(gpus))
    if split.any():
        row = int(np.flatnonzero(split)[0])
        raise table.complain(row, f"gpus above 1 must be a whole number, got {gpus[row]:g}")
    runtime = table.numbers("runtime", low=0.0, high=LONGEST_S)
    return make_jobs(
        table.numbers("arrival_time", low=0.0, high=LONGEST_S),
        runtime,
        gpus,
        table.numbers("priority", default=1.0, low=0.0),
        user=_codes(table, "user") if table.has("user") else None,
        number=np.arange(len(runtime)),
        name=file.name,
    )


def _pai(file: Path, settings: ReadingSettings) -> Jobs:
    """Alibaba PAI 2020, `pai_task_table`: headless; one job per task, its instances together."""
    columns = (
        *("job_name", "task_name", "inst_num", "status", "start_time", "end_time"),
        *("plan_cpu", "plan_mem", "plan_gpu", "gpu_type"),
    )
    table = read_table(file, columns)
    start = table.numbers("start_time", empty=-1)
    end = table.numbers("end_time", empty=-1)
    instances = table.numbers("inst_num", low=0.0, empty=1)
    share = table.numbers("plan_gpu", low=0.0, empty=0) / 100  # percent of a GPU
    kept = (start > 0) & (end > start) & _ended(table, "status", {"Terminated"}, settings)
    gpus = np.where(instances > 1, np.ceil(share) * instances, share)
    return _jobs(table, settings, kept, start, end - start, gpus, _codes(table, "job_name"))


def _openb(file: Path, settings: ReadingSettings) -> Jobs:
    """Alibaba openb 2023, a list of pods."""
    table = read_table(file)
    created, deleted = table.numbers("creation_time", empty=-1), table.numbers("deletion_time", empty=-1)
    scheduled = table.numbers("scheduled_time", default=-1, empty=-1)
    count = table.numbers("num_gpu", low=0.0, empty=0)
    share = table.numbers("gpu_milli", default=WHOLE, low=0.0, empty=0) / WHOLE
    begin = np.where(scheduled >= 0, scheduled, created)
    kept = (created >= 0) & (deleted > begin) & _ended(table, "pod_phase", {"Succeeded", "Running"}, settings)
    classes = {"BE": 0, "Burstable": 1, "LS": 2, "Guaranteed": 3}
    rank = table.text("qos").map(classes).fillna(0).to_numpy(float) if table.has("qos") else None
    gpus = np.where(count == 1, share, count)
    return _jobs(table, settings, kept, created, deleted - begin, gpus, None, rank)


def _helios(file: Path, settings: ReadingSettings) -> Jobs:
    """Helios, `cluster_log.csv`: times are dates or seconds."""
    table = read_table(file)
    arrival = _times(table, "submit_time")
    runtime = table.numbers("duration", low=0.0)
    gpus = table.numbers("gpu_num", low=0.0)
    kept = _ended(table, "state", {"COMPLETED"}, settings)
    return _jobs(table, settings, kept, arrival, runtime, gpus, _codes(table, "user"))


def _philly(file: Path, settings: ReadingSettings) -> Jobs:
    """Philly, `cluster_job_log`: JSON; attempts of a job count together, with the GPUs of the first."""
    try:
        entries = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:  # of a number of many digits, too
        raise UserError(f"{file}: not JSON: {one_line(str(error))}") from error
    if not isinstance(entries, list):
        raise UserError(f"{file}: must hold a list of jobs")
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for at, entry in enumerate(entries):
        try:
            seconds, gpus = 0.0, 0
            for attempt in entry["attempts"]:
                if attempt["start_time"] and attempt["end_time"]:
                    seconds += (_date(attempt["end_time"]) - _date(attempt["start_time"])) / 1e9
                gpus = gpus or sum(len(each["gpus"]) for each in attempt["detail"])
            rows.append((_date(entry["submitted_time"]) / 1e9, seconds, gpus, entry["status"], entry["user"]))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{file}, job {at + 1}: {one_line(repr(error))}; see docs/gpu_jobs.md") from error
    frame = pd.DataFrame(rows, columns=["arrival", "runtime", "gpus", "status", "user"])
    table = Table(file, frame, 1)
    kept = _ended(table, "status", {"Pass"}, settings)
    runtime = frame["runtime"].to_numpy(float)
    columns = frame["arrival"].to_numpy(float), runtime, frame["gpus"].to_numpy(float)
    return _jobs(table, settings, kept, *columns, _codes(table, "user"))


def _date(text: str) -> int:
    """Nanoseconds since 1970."""
    import pandas as pd

    return int(pd.Timestamp(text).value)


def _google2011(file: Path, settings: ReadingSettings) -> Jobs:
    """Google 2011, `task_events`: headless."""
    return _events(read_table(file, GOOGLE_2011.headless), GOOGLE_2011, settings)


def _google2019(file: Path, settings: ReadingSettings) -> Jobs:
    """Google 2019, `instance_events` as CSV."""
    return _events(read_table(file), GOOGLE_2019, settings)


def _events(table: Table, form: EventForm, settings: ReadingSettings) -> Jobs:
    """Jobs out of events of tasks: the last SCHEDULE before the first end after it, and the first SUBMIT."""
    import pandas as pd

    request = request_column(table, ("cpu_request", "resource_request.cpus", "cpus"), "CPUs")
    columns = pd.DataFrame(
        {
            "cpus": table.numbers(request, low=0.0, empty=0),
            "priority": table.numbers("priority", default=0.0, empty=0),
            "user": _codes(table, "user") if table.has("user") else 0,
        }
    )
    kinds = form.ended if settings.unfinished == "keep" else (form.finished,)
    tasks = task_spans(table, form, kinds, columns).dropna(subset=["over"])
    jobs = Table(table.file, tasks.reset_index(drop=True), 1)
    return _jobs(
        jobs,
        settings,
        (tasks["over"] > tasks["begun"]).to_numpy(),
        tasks["submitted"].to_numpy(float),
        (tasks["over"] - tasks["begun"]).to_numpy(float),
        np.rint(tasks["cpus"].to_numpy(float) / settings.cpus_per_gpu * WHOLE) / WHOLE,
        tasks["user"].to_numpy(int),
        tasks["priority"].to_numpy(float),
    )


def _jobs(
    table: Table,
    settings: ReadingSettings,
    kept: Any,
    arrival: Floats,
    runtime: Floats,
    gpus: Floats,
    user: Any = None,
    rank: Any = None,
) -> Jobs:
    """Jobs of a raw table with the mapping that `settings` ask for."""
    kept = np.asarray(kept, bool)
    if not kept.any():
        raise UserError(f"{table.file}: no job in it has begun and ended; is it of the form {settings.form}?")
    gpus = np.minimum(gpus, settings.largest)
    shares = (gpus < 1) & (settings.fractions == "keep")
    whole = np.floor(gpus) if settings.fractions == "down" else np.ceil(gpus)
    gpus = np.where(shares, gpus, whole)
    if settings.priorities == "source" and rank is not None:
        priority = 1.0 + rank
    elif settings.priorities == "gpus":
        priority = np.select([gpus < 2, gpus < 4, gpus < 8], [0.5, 1.0, 2.5], 5.0)
    else:
        priority = np.ones(len(gpus))
    return make_jobs(
        arrival[kept],
        runtime[kept],
        gpus[kept],
        priority[kept],
        None if user is None else np.asarray(user)[kept],
        number=np.flatnonzero(kept) + table.first,
        name=table.file.name,
    )


def _ended(table: Table, name: str, good: set[str], settings: ReadingSettings) -> Any:
    if settings.unfinished == "keep":
        return np.ones(len(table.rows), bool)
    return table.text(name).isin(good).to_numpy()


def _codes(table: Table, name: str) -> Any:
    """Numbers for equal texts, in order of appearance."""
    import pandas as pd

    return pd.factorize(table.text(name))[0]


def _times(table: Table, name: str) -> Floats:
    """Seconds: of numbers as they are, of dates since 1970."""
    import pandas as pd

    text = table.text(name)
    values = pd.to_numeric(text, errors="coerce")
    if values.notna().all():
        return values.to_numpy(np.float64)
    dates = pd.to_datetime(text, errors="coerce", format="ISO8601", utc=True)
    if dates.isna().any():
        row = int(np.flatnonzero(dates.isna())[0])
        raise table.complain(row, f"{name} must be a date, got {one_line(text.iloc[row])[:60]!r}")
    return (dates - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(np.float64)


_READERS = {
    "csv": _plain,
    "pai2020": _pai,
    "openb2023": _openb,
    "philly": _philly,
    "helios": _helios,
    "google2011": _google2011,
    "google2019": _google2019,
}
