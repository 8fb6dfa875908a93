"""Workloads by their text: a file, or a generator with parameters."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.core.shared import provided
from spane_rllib.core.words import suggestion
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster
from spane_rllib.problems.gpu_jobs.simulator.jobs import WHOLE, Jobs
from spane_rllib.problems.gpu_jobs.workloads.readers import read_jobs
from spane_rllib.problems.gpu_jobs.workloads.settings import ReadingSettings
from spane_rllib.problems.gpu_jobs.workloads.synthetic import published_jobs, synthetic_jobs

_PARAMETERS = {
    "synthetic": {"jobs": int, "load": float, "seed": int, "users": int, "daily": float},
    "published": {"seconds": float, "seed": int, "rate": float},
}
_RANGES = {
    "jobs": (1, 5_000_000),
    "load": (0.001, 1000),
    "seed": (0, 2**32 - 1),
    "users": (1, 100_000),
    "daily": (0, 1),
    "seconds": (1, 1_000_000),
    "rate": (1e-6, 1000),
}


def load_jobs(text: str, cluster: Cluster, reading: ReadingSettings | None = None) -> Jobs:
    """The workload that `text` means, checked against the cluster.

    Args:
        text: path of a file, also within the folder `SPANE_RLLIB_DATA`; `synthetic[:jobs=N,load=L,seed=S]`;
            or `published[:seconds=T,seed=S]`.
        cluster: must be able to hold every job.
        reading: what the columns of files mean.

    Raises:
        UserError: there is no such file or parameter, or it cannot be read.
    """
    shared = provided(text)
    if shared is not None:
        return shared
    jobs = read_workload(text, cluster.gpus, reading)
    too_large = np.flatnonzero(jobs.milli > cluster.largest_job() * WHOLE)
    if len(too_large):
        job = too_large[0]
        raise UserError(
            f"{text}: job {jobs.number[job]} asks for {jobs.gpus[job]:g} GPUs, and the cluster can give it "
            f"{cluster.largest_job()} at most; allow a split, or give it larger nodes"
        )
    return jobs


def read_workload(text: str, gpus: int, reading: ReadingSettings | None = None) -> Jobs:
    """What `load_jobs` checks; the load of made-up jobs is on `gpus`."""
    kind = text.partition(":")[0]
    if kind in _PARAMETERS and not Path(text).exists():
        values = _parameters(text, kind)
        if kind == "published":
            jobs = published_jobs(**values)
        else:
            jobs = synthetic_jobs(values.pop("jobs", 2000), cluster_gpus=gpus, **values)
        if not len(jobs):
            raise UserError(f"{text}: no job arrives; give a longer time")
    else:
        jobs = read_jobs(_find(text), reading or ReadingSettings())
    return jobs


def _find(text: str) -> Path:
    path = Path(text)
    folder = os.environ.get("SPANE_RLLIB_DATA")
    if not path.exists() and folder and not path.is_absolute():
        for place in (Path(folder, text), Path(folder, "gpu_jobs", text)):
            if place.exists():
                return place
    if not path.is_file():
        raise UserError(f"jobs {text}: no such file; give one, or {' or '.join(_PARAMETERS)}[:KEY=VALUE,...]")
    return path


def _parameters(text: str, kind: str) -> dict[str, Any]:
    allowed: dict[str, Any] = _PARAMETERS[kind]
    values: dict[str, Any] = {}
    for word in filter(None, text.partition(":")[2].split(",")):
        name, _, value = word.partition("=")
        if name not in allowed:
            raise UserError(f"{text}: {name!r} is unknown; {suggestion(name, allowed)}")
        low, high = _RANGES[name]
        try:
            number = allowed[name](value)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise UserError(f"{text}: {name} must be a number from {low:g} to {high:g}, got {value!r}")
        values[name] = number
    return values
