"""Windows as rows of tables, and what they come to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from spane_rllib.core.bootstrap import Resamples
from spane_rllib.problems.pod_migration.columns import COUNTED, MOVED
from spane_rllib.problems.pod_migration.simulator.episode import Episode
from spane_rllib.problems.pod_migration.simulator.windows import COUNTS

if TYPE_CHECKING:
    import pandas as pd

    from spane_rllib.problems.pod_migration.instance import PodInstance
    from spane_rllib.problems.pod_migration.policies import PodPolicy


def play_days(
    instance: PodInstance, policy: PodPolicy, days: npt.NDArray[np.int64], seed: int
) -> Iterator[tuple[float, ...]]:
    """The windows of episodes that begin at `days`, one tuple of `WINDOW_COLUMNS` each."""
    episode = Episode(instance)
    of_counts = [COUNTS.index(name) for name in ("slots", *COUNTED)]
    for day in days.tolist():
        episode.reset(day)
        planner = policy.begin(np.random.default_rng([seed, day]))
        for window in range(day, day + instance.settings.horizon):
            moves = planner(episode)
            moved = sum((episode.base[pod] for pod, _ in moves), start=np.zeros(2))
            reward = sum(episode.move(pod, node) for pod, node in moves)
            counts = episode.advance()
            reward += sum(float(term[0]) for term in instance.terms(counts[None]).values())
            whole = [int(count) for count in counts[of_counts]]
            yield (window, day, episode.requests, reward, *whole, len(moves), *moved.tolist())


def window_statistics(windows: pd.DataFrame, resamples: Resamples) -> dict[str, npt.NDArray[np.float64]]:
    """(1 + R,) of each statistic, for the windows and each resample of them."""
    horizon = len(windows) / windows["episode"].nunique()
    names = [*COUNTED, *MOVED]
    per_episode = {name: resamples.means(windows[name]) * horizon for name in names}
    rate = resamples.means(windows["violations"]) / resamples.means(windows["slots"])
    return {
        "violations": per_episode.pop("violations"),
        "violation_rate": rate,
        "reward_mean": resamples.means(windows["reward"]) * horizon,
        **per_episode,
    }
