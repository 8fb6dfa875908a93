"""The search for a placement score on a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spane_rllib.problems.search import SearchTask
from spane_rllib.problems.vm_scheduling.networks.score import ScoreWeights
from spane_rllib.problems.vm_scheduling.score_search.search import (
    REFERENCE,
    ScoreFamily,
    ScoreSearch,
    Windows,
    draw_windows,
    relative_cost,
    waits_of,
)
from spane_rllib.problems.vm_scheduling.simulator import Heuristic, PlacementScore
from spane_rllib.problems.vm_scheduling.waits.task import WaitTask


class _AsStored(ScoreSearch):
    @property
    def centre(self) -> PlacementScore:
        return ScoreWeights.of_score(super().centre).score()


class ScoreSearchTask(SearchTask):
    """Searches a placement score by the waits of whole episodes.

    Args:
        task: trace, servers and splits.
        settings: with the fields of `ScoreSearchSettings` and `population`.
    """

    unit = f"{REFERENCE} = 1"

    def __init__(self, task: WaitTask, settings: Any) -> None:
        self._task, self._settings = task, settings
        workload = task.instance.workload  # complains about VMs that no server can hold
        self._queue = task.instance.discipline
        self._trace, self._cluster, self._splits = (
            workload.trace,
            task.instance.cluster,
            task.instance.split_rows,
        )
        validation = settings.validation
        self.unseen = draw_windows(
            np.random.default_rng(validation.seed),
            self._splits.validation,
            settings.counts(validation),
            settings.shares,
        )

    def begin(self, seed: int) -> ScoreSearch:
        family = ScoreFamily.of_trace(self._trace, self._splits.train, self._cluster)
        return _AsStored(family, self._settings.population, self._settings.step, seed)

    def draw(self, generator: np.random.Generator) -> Windows:
        settings = self._settings
        return draw_windows(generator, self._splits.train, settings.counts(settings.windows), settings.shares)

    def judge(self, candidates: Sequence[PlacementScore], episodes: Windows) -> list[float]:
        trace, cluster = self._trace, self._cluster
        reference = waits_of(Heuristic(REFERENCE), trace, cluster, episodes, self._queue)
        return [
            relative_cost(
                waits_of(Heuristic("fgd", score), trace, cluster, episodes, self._queue),
                reference,
                episodes.shares,
            )
            for score in candidates
        ]

    def save(
        self, directory: Path, candidate: PlacementScore, *, seed: int, metrics: Mapping[str, float | None]
    ) -> None:
        training = self._settings.model_dump(
            mode="json", include={"generations", "population", "step", "windows"}
        )
        weights = ScoreWeights.of_score(candidate)
        self._task.save_model(directory, weights, seed=seed, metrics=metrics, training=training)

    def __getstate__(self) -> dict[str, Any]:
        # Workers only judge; settings of a class made at run time cannot be pickled.
        return {"_trace": self._trace, "_cluster": self._cluster, "_queue": self._queue}
