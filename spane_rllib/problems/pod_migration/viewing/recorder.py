"""Recording an episode for the viewer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.pod_migration.instance import PodInstance
from spane_rllib.problems.pod_migration.policies import PodPolicy
from spane_rllib.problems.pod_migration.simulator.episode import Episode
from spane_rllib.problems.pod_migration.simulator.windows import UNSATISFIED, VIOLATIONS
from spane_rllib.problems.recordings import write_recording

PROBLEM = "pod_migration"


def record_day(instance: PodInstance, policy: PodPolicy, day: int, folder: Path, seed: int) -> Path:
    """Play the episode that begins at window `day`, and write it to `folder`.

    Returns:
        the file.
    """
    episode, cluster = Episode(instance), instance.cluster
    episode.reset(day)
    planner = policy.begin(np.random.default_rng([seed, day]))
    windows = []
    for _ in range(instance.settings.horizon):
        moves = planner(episode)
        for pod, node in moves:
            episode.move(pod, node)
        counts = episode.advance()
        windows.append(
            {
                "moves": [[pod, node] for pod, node in moves],
                "requests": episode.requests,
                "demand": _short(episode.demand.sum(axis=0)),
                "peak": _short(episode.history.max(axis=1)),
                "pods": _short(episode.demand),
                "violations": int(counts[VIOLATIONS]),
                "unsatisfied": int(counts[UNSATISFIED]),
            }
        )
    content = {
        "policy": policy.name,
        "trace": instance.demand.name,
        "cluster": cluster.name,
        "start": day,
        "window_s": instance.settings.window_s,
        "overload": instance.settings.overload,
        "node_names": list(cluster.node_names),
        "pod_names": list(cluster.pod_names),
        "capacity": _short(cluster.capacity),
        "own": _short(cluster.requests),
        "placement": cluster.placement.tolist(),
        "windows": windows,
    }
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", policy.name).strip("-") or "policy"
    file = folder / f"{name}-{cluster.name}-{day}.json"
    write_recording(file, PROBLEM, content)
    return file


def _short(array: npt.NDArray[np.float64]) -> list[object]:
    """Numbers with as many digits as a drawing can show."""
    short: list[object] = np.round(array, 3).tolist()
    return short
