"""Evaluations kept in parts, a file each: an interruption loses none, equal parts are played once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing
from spane_rllib.experiments.results.tables import read_table
from spane_rllib.problems.problem import Evaluation, Part

if TYPE_CHECKING:
    import pandas as pd


class PartStore:
    """Finished parts in a folder; a part's file is named after all that decides what is in it.

    Args:
        folder: made when the first part is written.
        evaluation: whose parts they are.
    """

    def __init__(self, folder: Path, evaluation: Evaluation) -> None:
        self.folder, self._evaluation = folder, evaluation

    def file(self, part: Part) -> Path:
        """Where the part is, or will be."""
        return self.folder / f"{part.key}.csv"

    def write(self, part: Part, episodes: pd.DataFrame) -> None:
        """Keep a finished part."""
        with replacing(self.file(part)) as temporary:
            episodes.to_csv(temporary, index=False)

    def read(self, part: Part) -> pd.DataFrame:
        """The episodes of a finished part; a `UserError` where it is missing or damaged."""
        return read_table(self.file(part), self._evaluation.task.problem.episode_columns)

    def has(self, part: Part) -> bool:
        """Whether the part is finished; says so where it is damaged."""
        if not self.file(part).exists():
            return False
        try:
            pairs = self.read(part)[self._evaluation.task.problem.pair]
            complete = np.array_equal(pairs, self._evaluation.pairs)
        except UserError:
            complete = False
        if not complete:
            print(f"{self.file(part)} is damaged and evaluated again")
        return complete


def parts_of(evaluation: Evaluation, policies: Sequence[Any], strict: bool = False) -> list[Part]:
    """A part for every case and policy that can play it, case by case.

    Raises:
        UserError: with `strict`, where a policy cannot.
    """
    parts = []
    for case in evaluation.cases:
        for policy in policies:
            if refusal := evaluation.refusal(policy, case):
                if strict:
                    raise UserError(f"policy {policy.name}: {refusal}")
            else:
                parts.append(evaluation.part(policy, case))
    return parts


def play_parts(
    evaluation: Evaluation,
    parts: Sequence[Part],
    *,
    workers: int = 0,
    store: PartStore | None = None,
    label: str = "evaluation",
) -> dict[str, pd.DataFrame]:
    """The episodes of every part by its key; shows the progress.

    Args:
        evaluation, parts: what is played.
        workers: Ray tasks, between which the episodes of each part are divided; 0 plays in this process,
            without Ray. The episodes do not depend on it.
        store: keeps each part as soon as it is finished. Finished parts are not played again, and then the
            result is empty: read it from the store.
        label: of the progress.
    """
    distinct = {part.key: part for part in parts}
    missing = [part for part in distinct.values() if store is None or not store.has(part)]
    progress = Progress(label, len(parts) * len(evaluation.pairs), "episodes")
    finished, played = len(parts) - len(missing), {}
    for part, episodes in _play(evaluation, missing, workers):
        if store is None:
            played[part.key] = episodes
        else:
            store.write(part, episodes)
        finished += 1
        progress.update(finished * len(evaluation.pairs))
    return played


def _play(evaluation: Evaluation, parts: Sequence[Part], workers: int) -> Iterator[tuple[Part, pd.DataFrame]]:
    """Each part with its episodes as it is finished."""
    episodes = len(evaluation.pairs)
    if workers == 0:
        for part in parts:
            yield part, evaluation.play(part, 0, episodes)
        return
    import pandas as pd
    import ray

    from spane_rllib.cluster.session import ray_session

    with ray_session(num_cpus=workers):
        task = ray.remote(num_cpus=1, max_retries=3)(_play_some)
        shared = ray.put(evaluation)
        edges = np.linspace(0, episodes, min(workers, episodes) + 1).astype(int).tolist()
        chunks = list(pairwise(edges))
        pending: dict[Any, tuple[int, int]] = {}
        pieces: list[list[pd.DataFrame | None]] = []
        for index, part in enumerate(parts):
            pieces.append([None] * len(chunks))
            named = task.options(name=f"evaluate {part.policy.name} on {part.case}")
            for position, chunk in enumerate(chunks):
                pending[named.remote(shared, part, *chunk)] = index, position
        while pending:
            (ready,), _ = ray.wait(list(pending))
            index, position = pending.pop(ready)
            pieces[index][position] = ray.get(ready)
            done = [piece for piece in pieces[index] if piece is not None]
            if len(done) == len(chunks):
                yield parts[index], pd.concat(done, ignore_index=True)


def _play_some(evaluation: Evaluation, part: Part, first: int, last: int) -> pd.DataFrame:
    return evaluation.play(part, first, last)


def joined(parts: Sequence[Part], read: Callable[[Part], pd.DataFrame]) -> pd.DataFrame:
    """The episodes of all parts, one after the other, as `read` gives them."""
    import pandas as pd

    # Policies that are equal share a part, whatever they are called.
    return pd.concat([read(part).assign(policy=part.policy.name) for part in parts], ignore_index=True)
