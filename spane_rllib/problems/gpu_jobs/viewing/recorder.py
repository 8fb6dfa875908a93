"""Recording a schedule for the viewer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.lanes import gpus_of_runs
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule
from spane_rllib.problems.recordings import write_recording

PROBLEM = "gpu_jobs"


def record_schedule(schedule: Schedule, cluster: Cluster, policy: str, workload: str, folder: Path) -> Path:
    """Write a schedule to `folder`; jobs that arrive after its end are left out.

    Returns:
        the file.
    """
    jobs, runs = schedule.jobs, schedule.runs
    end = float(schedule.end)
    if not np.isfinite(end):
        end = float(max(np.nanmax(schedule.finish, initial=jobs.arrival[-1]), jobs.arrival[-1]))
    seen = int(np.searchsorted(jobs.arrival, end, "right"))
    content = {
        "policy": policy,
        "workload": workload,
        "end": round(end, 3),
        "types": [[each.name, each.count] for each in cluster.ordered],
        "jobs": {
            "number": jobs.number[:seen].tolist(),
            "arrival": _short(jobs.arrival[:seen]),
            "runtime": _short(jobs.runtime[:seen]),
            "gpus": _short(jobs.gpus[:seen]),
            "priority": jobs.priority[:seen].tolist(),
        },
        "runs": {
            "job": runs.job.tolist(),
            "start": _short(runs.start),
            "finish": _short(np.where(np.isnan(runs.finish), end, runs.finish)),
            "gpus": [gpu for gpus in gpus_of_runs(schedule, cluster) for gpu in gpus],
        },
        "unfinished": np.flatnonzero(schedule.running).tolist(),
    }
    names = [re.sub(r"[^A-Za-z0-9_=.-]+", "-", text).strip("-.")[-60:] for text in (policy, workload)]
    file = folder / f"{names[0] or 'policy'}-{names[1] or 'jobs'}.json"
    write_recording(file, PROBLEM, content)
    return file


def _short(array: npt.NDArray[np.float64]) -> list[float | int]:
    """Numbers to a thousandth, whole ones as such: of what a schedule has most."""
    rounded = np.round(array, 3)
    return [int(value) if value.is_integer() else value for value in rounded.tolist()]
