"""Settings with what they mean: the cluster, the workload, episodes."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from spane_rllib.core.errors import UserError
from spane_rllib.problems.gpu_jobs.policies import Rules
from spane_rllib.problems.gpu_jobs.session import Session
from spane_rllib.problems.gpu_jobs.settings import GpuJobsSettings
from spane_rllib.problems.gpu_jobs.simulator.cluster import Cluster, GpuType
from spane_rllib.problems.gpu_jobs.simulator.jobs import Jobs
from spane_rllib.problems.gpu_jobs.workloads.loading import load_jobs
from spane_rllib.problems.gpu_jobs.workloads.synthetic import published_jobs, synthetic_jobs


class Instance:
    """What is scheduled, on what and under which rules.

    Args:
        settings: as the configuration gives them.
    """

    def __init__(self, settings: GpuJobsSettings) -> None:
        self.settings = settings
        self.cluster = Cluster(
            tuple(GpuType(**each.model_dump()) for each in settings.cluster.types), settings.cluster.split
        )
        self.rules = Rules(
            published=settings.rules == "published",
            horizon=np.inf if settings.horizon is None else settings.horizon,
            runtimes=settings.runtimes,
            noise=settings.noise,
            restart=settings.restart,
        )
        if self.rules.published and settings.cluster.split != "any":
            raise UserError(
                "rules published: the reference splits jobs over all types; leave out cluster.split"
            )

    def load(self, text: str) -> Jobs:
        """A workload on this cluster."""
        settings = self.settings
        jobs = load_jobs(text, self.cluster, settings.reading)
        rebase = settings.rebase if settings.rebase is not None else not self.rules.published
        return jobs.rebased() if rebase else jobs

    @cached_property
    def jobs(self) -> Jobs:
        """The workload that the settings name."""
        return self.load(self.settings.jobs)

    def episode(self, seed: int, load: float | None = None) -> Session:
        """A training or validation episode; the load of made-up ones is drawn unless it is given."""
        drawing, episode = np.random.default_rng([seed, 11]), self.settings.episode
        low, high = episode.loads
        share = float(drawing.uniform(low, high)) if load is None else load
        horizon = self.rules.horizon
        if episode.source == "synthetic":
            jobs = synthetic_jobs(episode.length, share, seed, self.cluster.gpus)
        elif episode.source == "published":
            jobs = published_jobs(float(episode.seconds), seed)
        else:
            first = int(drawing.integers(max(1, len(self.jobs) - episode.length + 1)))
            jobs = self.jobs.at(np.arange(first, min(first + episode.length, len(self.jobs)))).rebased()
        if self.rules.published:
            horizon = min(horizon, float(episode.seconds))
        rules = Rules(
            self.rules.published, horizon, self.rules.runtimes, self.rules.noise, self.rules.restart, seed
        )
        return Session(jobs, self.cluster, rules, episode.slots, episode.order)
