"""Evaluations kept in parts, a file per policy and number of servers, so that an interruption loses none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spane_rllib.core.console import Progress
from spane_rllib.core.errors import UserError
from spane_rllib.core.files import replacing
from spane_rllib.experiments.results.wait_time import Pair, evaluate_pairs
from spane_rllib.problems.vm_scheduling.simulator import Cluster
from spane_rllib.problems.vm_scheduling.traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.waits.evaluation import read_episodes


def evaluate_parts(
    pairs: Sequence[Pair],
    part_of: Callable[[Pair], Path],
    trace: VmTrace,
    cluster: Cluster,
    starts: npt.NDArray[np.int64],
    *,
    seed: int,
    workers: int,
) -> None:
    """Evaluate the pairs whose part is missing or damaged, and write each part as soon as it is finished.

    `part_of` gives the file of a pair; the other arguments are those of `evaluate_pairs`.
    """
    # Equal models may share a part.
    missing = {
        part: pair
        for part, pair in {part_of(pair): pair for pair in pairs}.items()
        if not is_evaluated(part, starts)
    }
    finished = len(pairs) - len(missing)
    progress = Progress("evaluation", len(pairs), "policies")
    for pair, frame in evaluate_pairs(
        list(missing.values()), trace, cluster, starts, seed=seed, workers=workers
    ):
        with replacing(part_of(pair)) as temporary:
            frame.to_csv(temporary, index=False)
        finished += 1
        progress.update(finished)


def is_evaluated(part: Path, starts: npt.NDArray[np.int64]) -> bool:
    """Whether `part` holds an episode from each of `starts`; says so where it is damaged."""
    if not part.exists():
        return False
    try:
        complete = np.array_equal(read_episodes(part)["start"], starts)
    except UserError:
        complete = False
    if not complete:
        print(f"{part} is damaged and evaluated again")
    return complete
