"""Planners that look at the last window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spane_rllib.problems.pod_migration.planners.planner import Draft, Move, Planner
from spane_rllib.problems.pod_migration.simulator.episode import Episode

IMBALANCE = 0.5
"""Of the published rule, where loads are shares of capacity."""


def no_op(episode: Episode) -> Sequence[Move]:
    """Nothing moves."""
    return ()


def random_moves(random: np.random.Generator) -> Planner:
    """As many moves as are allowed, each of any pod to any other node."""

    def plan(episode: Episode) -> Sequence[Move]:
        draft = Draft(episode)
        pods, nodes = len(draft.placement), len(draft.load)
        for pod in random.permutation(pods)[: episode.moves_left]:
            others = [node for node in range(nodes) if node != draft.placement[pod] and draft.has_room(node)]
            if others:
                draft.move(pod, int(random.choice(others)))
        return draft.moves

    return plan


def threshold_greedy(episode: Episode) -> Sequence[Move]:
    """The published rule: while the CPU loads L of the N nodes are so uneven that the sum over all pairs of
    (L_i - L_j)^2 / N exceeds 0.5, the pod with the largest CPU goes from the most to the least loaded node.
    """
    draft = Draft(episode)
    nodes = len(draft.load)
    while not draft.full:
        load = draft.load[:, 0]
        # The sum over pairs of squared differences is N^2 times the variance.
        if nodes * load.var() <= IMBALANCE:
            break
        pods, target = draft.movable(int(load.argmax())), int(load.argmin())
        if not len(pods) or not draft.has_room(target):
            break
        draft.move(pods[0], target)
    return draft.moves


def largest_pod(episode: Episode) -> Sequence[Move]:
    """While a node was overloaded, its largest pod goes to the least loaded node, if that lowers the peak."""
    draft = Draft(episode)
    while not draft.full:
        peaks = draft.load.max(axis=1)
        source, target = int(peaks.argmax()), int(peaks.argmin())
        pods = draft.movable(source)
        if peaks[source] <= episode.instance.settings.overload or not len(pods) or not draft.has_room(target):
            break
        if draft.load_after(pods[0], target).max() >= peaks[source]:
            break
        draft.move(pods[0], target)
    return draft.moves


def repack(episode: Episode) -> Sequence[Move]:
    """Once a node was overloaded, all pods are packed anew: the largest first, each on the fullest node it
    does not overload (best fit decreasing). Of the moves that this takes, those that are allowed are made,
    from the most loaded nodes first.
    """
    draft, limit = Draft(episode), episode.instance.settings.overload
    if draft.load.max() <= limit:
        return ()
    share = draft.sizes.max(axis=1)
    load = np.zeros_like(draft.load)
    goal = draft.placement.copy()
    most = episode.instance.settings.max_pods_per_node
    count = np.zeros(len(load), np.int64)
    for pod in np.argsort(-share, kind="stable"):
        after = (load + draft.sizes[pod] / draft.capacity).max(axis=1)
        fits = (after <= limit) & (count < most)
        room = count < most
        node = (
            int(np.where(fits, after, -1).argmax())
            if fits.any()
            else int(np.where(room, after, np.inf).argmin())
        )
        goal[pod] = node
        count[node] += 1
        load[node] += draft.sizes[pod] / draft.capacity[node]
    moving = np.flatnonzero(goal != draft.placement)
    for pod in moving[np.argsort(-draft.load[draft.placement[moving]].max(axis=1), kind="stable")]:
        if draft.full:
            break
        if draft.has_room(int(goal[pod])):
            draft.move(pod, int(goal[pod]))
    return draft.moves


def interleave(episode: Episode) -> Sequence[Move]:
    """Pods that are handed requests one after the other go to different nodes: pod i to node i mod N, those
    first that come next. It knows how requests are handed out, and nothing of their sizes.
    """
    draft = Draft(episode)
    pods, nodes = len(draft.placement), len(draft.load)
    for pod in ((episode.pointer + np.arange(pods)) % pods).tolist():
        if draft.full:
            break
        if draft.placement[pod] != pod % nodes and draft.has_room(pod % nodes):
            draft.move(pod, pod % nodes)
    return draft.moves
