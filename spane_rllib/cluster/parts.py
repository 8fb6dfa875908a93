"""Evaluations as Ray jobs, one per model, whose parts meet on storage the nodes share."""

from __future__ import annotations

import hashlib
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.experiments.results.parts import PartStore, joined, parts_of
from spane_rllib.problems.problem import Evaluation, Part, Policy

if TYPE_CHECKING:
    import pandas as pd


class JobQueue(Protocol):
    """What `run_jobs` needs of `client.Jobs`."""

    def status(self, submission_id: str) -> Any:
        """A `JobStatus`."""
        ...

    def unfinished(self) -> dict[str, Mapping[str, str]]:
        """Metadata of the jobs that wait or run, by submission id."""
        ...


@dataclass(frozen=True)
class EvaluationJob:
    """What one job evaluates.

    Args:
        name: the model as the user wrote it, or "heuristics".
        policies: as `--policy` takes them on any node.
        parts: what it leaves in the store.
    """

    name: str
    policies: tuple[str, ...]
    parts: tuple[Part, ...]

    @property
    def key(self) -> str:
        """Identifies the result."""
        return hashlib.sha256(" ".join(part.key for part in self.parts).encode()).hexdigest()[:16]

    def finished(self, store: PartStore) -> bool:
        """Whether all of the result is there."""
        return all(store.has(part) for part in self.parts)


def make_jobs(
    evaluation: Evaluation, models: Sequence[str], heuristics: Sequence[str]
) -> list[EvaluationJob]:
    """One job per model and one for all heuristics, in the order given.

    Raises:
        UserError: a model is damaged or refuses to play.
    """
    task = evaluation.task
    if wrong := [model for model in models if model in task.problem.baselines]:
        raise UserError(f"{wrong[0]}: is a heuristic; name models here, and heuristics by --heuristics")

    def job(name: str, policies: Sequence[Policy], arguments: Sequence[str]) -> EvaluationJob:
        return EvaluationJob(name, tuple(arguments), tuple(parts_of(evaluation, policies, strict=True)))

    jobs = []
    for model in models:
        policy = task.load_policy(model)
        # Shipped models go by name: the job has the package, but not in this place.
        folder = Path(model)
        jobs.append(job(policy.name, [policy], [str(folder.absolute()) if folder.is_dir() else model]))
    if heuristics:
        jobs.append(job("heuristics", [task.load_policy(name) for name in heuristics], heuristics))
    return jobs


def run_jobs(
    queue: JobQueue,
    jobs: Sequence[EvaluationJob],
    store: PartStore,
    submit: Callable[[EvaluationJob], str],
    *,
    parallel: int,
    retries: int,
    poll_s: float = 1.0,
) -> dict[str, str]:
    """Have everything that is not in `store` evaluated by jobs, at most `parallel` at the same time.

    Jobs that an earlier call has left running are waited for. One that fails is submitted again up to
    `retries` times. Returns the last submission id of each that failed for good, by its name.
    """
    distinct = {job.key: job for job in jobs}  # equal models share a result
    missing = {key: job for key, job in distinct.items() if not job.finished(store)}
    running = {
        submission_id: missing[metadata["part"]]
        for submission_id, metadata in queue.unfinished().items()
        if metadata.get("part") in missing and metadata.get("folder") == str(store.folder)
    }
    adopted = {job.key for job in running.values()}
    waiting = deque(job for key, job in missing.items() if key not in adopted)
    attempts: Counter[str] = Counter()
    failed: dict[str, str] = {}
    progress = Progress("evaluated", len(distinct), "parts")
    while waiting or running:
        while waiting and len(running) < parallel:
            job = waiting.popleft()
            running[submit(job)] = job
        left = len(waiting) + len(running) + len(failed)
        progress.update(len(distinct) - left, f"{len(running)} jobs at work")
        time.sleep(poll_s)
        for submission_id, job in list(running.items()):
            if not queue.status(submission_id).is_terminal():
                continue
            del running[submission_id]
            if job.finished(store):
                continue
            attempts[job.key] += 1
            if attempts[job.key] <= retries:
                waiting.append(job)
            else:
                failed[job.name] = submission_id
    progress.update(len(distinct) - len(failed))
    return failed


def collect(evaluation: Evaluation, jobs: Sequence[EvaluationJob], store: PartStore) -> pd.DataFrame:
    """The episodes of all jobs in the order of `python -m spane_rllib.evaluate`.

    Raises:
        UserError: a part is missing.
    """
    parts = [part for job in jobs for part in job.parts]
    return joined([part for case in evaluation.cases for part in parts if part.case == case], store.read)
