"""The demand that the program of `program.py` assumes: what will come, or a forecast of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.pod_migration.planners.planner import Move, Planner
from spane_rllib.problems.pod_migration.planners.program import best_moves
from spane_rllib.problems.pod_migration.simulator.episode import Episode

MOST_SLOTS = 12
"""Slots of a window that the program looks at; of more, evenly spaced ones, the last among them."""
DAY_S = 86_400.0


def slots_of(episode: Episode, window: int) -> npt.NDArray[np.float64]:
    """(K, P, 2) what the requests of `window` ask of each pod, handed out from the pod whose turn it is."""
    demand, pods = episode.instance.demand, len(episode.placement)
    amount = demand.requests(window)
    pod = (episode.pointer + np.arange(len(amount))) % pods
    if episode.instance.settings.resource_model == "serial":
        slots = np.zeros((max(1, -(-len(amount) // pods)), pods, 2))
        slots[np.arange(len(amount)) // pods, pod] = amount
    else:
        moment = demand.moment[demand.first[window] : demand.first[window + 1]]
        last = np.flatnonzero(np.diff(moment, append=moment[-1:] + 1)) if len(moment) else np.array([-1])
        last = last[_spaced(len(last))]
        slots = np.zeros((len(last), pods, 2))
        for slot, request in enumerate(last):
            np.add.at(slots[slot], pod[: request + 1], amount[: request + 1])
    return slots[_spaced(len(slots))]


def _spaced(count: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, MOST_SLOTS)).astype(np.int64))


def foresight(episode: Episode) -> Sequence[Move]:
    """The best moves for the window that will come."""
    return best_moves(episode, slots_of(episode, episode.window))


def mean_of_last(windows: int) -> Planner:
    """The best moves if every pod is asked for what it was asked for on average in the last `windows`."""
    past: deque[npt.NDArray[np.float64]] = deque(maxlen=windows)

    def plan(episode: Episode) -> Sequence[Move]:
        past.append(episode.demand.copy())
        return best_moves(episode, np.mean(past, axis=0)[None])

    return plan


def seasonal(episode: Episode) -> Sequence[Move]:
    """The best moves if the requests of the same time yesterday come again; none where there was none."""
    yesterday = episode.window - round(DAY_S / episode.instance.settings.window_s)
    return best_moves(episode, slots_of(episode, yesterday)) if yesterday >= 0 else ()
