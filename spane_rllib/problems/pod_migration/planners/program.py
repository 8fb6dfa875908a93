"""The moves before a window as a mixed-integer program, for HiGHS.

A binary variable for every pod and every node that it is not on says whether the pod goes there. Others say
whether a node is overloaded, underloaded, or asked for more than it has, in each slot of the demand that is
assumed. The objective is the reward of the window and of the moves, where all pods of a node that is asked
for too much count as unsatisfied with the mean number of pods on a node.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from spane_rllib.problems.pod_migration.planners.planner import Move
from spane_rllib.problems.pod_migration.simulator.episode import Episode

MOST_SEARCH_NODES = 200
"""Of branch and bound; a limit of time would make plans depend on the machine."""
MARGIN = 1e-6
"""Of a capacity, by which limits are kept in spite of rounding."""


def best_moves(episode: Episode, slots: npt.NDArray[np.float64]) -> Sequence[Move]:
    """The best moves if the next window's demand were `slots`.

    Args:
        episode: the cluster.
        slots: (K, P, 2) what each pod is asked for beside its own request.
    """
    program = _Program(episode, slots)
    return program.solve() if program.worth_solving else ()


@contextmanager
def _silenced() -> Iterator[None]:
    """Keep what native code prints from standard output: HiGHS greets there once in a process."""
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


class _Program:
    def __init__(self, episode: Episode, slots: npt.NDArray[np.float64]) -> None:
        settings = episode.instance.settings
        self.episode, self.capacity = episode, episode.instance.cluster.capacity
        nodes, pods = len(self.capacity), len(episode.placement)
        # Kinds of limits: weight, share of the capacity, whether it is an upper one.
        per_node = settings.weights.unsatisfied * pods / nodes
        self.limits = [
            (weight, share, upper)
            for weight, share, upper in (
                (settings.weights.overload, settings.overload, True),
                (settings.weights.underload, settings.underload, False),
                (per_node, 1.0, True),
            )
            if weight > 0
        ]
        self.asked = slots + episode.base  # (K, P, 2)
        here = np.zeros((nodes, pods))
        here[episode.placement, np.arange(pods)] = 1
        self.load = np.einsum("np,kpr->knr", here, self.asked) / self.capacity  # (K, N, 2)
        self.scale = 1.0 if settings.compat else 1 / (len(slots) * nodes)

    @property
    def worth_solving(self) -> bool:
        """Whether something is wrong as it is; otherwise nothing is better than no move."""
        return any(
            ((self.load > share + MARGIN) if upper else (self.load < share - MARGIN)).any()
            for _, share, upper in self.limits
        )

    def solve(self) -> Sequence[Move]:
        """The moves."""
        import highspy

        episode, settings = self.episode, self.episode.instance.settings
        nodes, pods = len(self.capacity), len(episode.placement)
        pairs = [(p, n) for p in range(pods) for n in range(nodes) if n != episode.placement[p]]
        with _silenced():
            model = highspy.Highs()
        model.setOptionValue("output_flag", False)
        model.setOptionValue("threads", 1)
        model.setOptionValue("random_seed", 0)
        model.setOptionValue("mip_max_nodes", MOST_SEARCH_NODES)
        costs = [episode.instance.move_cost(*episode.base[p]) for p, _ in pairs]
        columns = len(pairs)
        model.addVars(columns, np.zeros(columns), np.ones(columns))
        model.changeColsCost(columns, np.arange(columns, dtype=np.int32), np.array(costs))
        of_pod = np.array([p for p, _ in pairs])
        to_node = np.array([n for _, n in pairs])
        from_node = episode.placement[of_pod]
        ones = np.ones(columns)
        everything = np.arange(columns, dtype=np.int32)
        model.addRow(0.0, float(episode.moves_left), columns, everything, ones)
        for pod in range(pods):
            mine = everything[of_pod == pod]
            model.addRow(0.0, 1.0, len(mine), mine, ones[: len(mine)])
        for node in range(nodes):
            # Without those that leave: moves can be made in any order.
            room = settings.max_pods_per_node - episode.pods_on[node]
            comes = everything[to_node == node]
            model.addRow(-highspy.kHighsInf, float(room), len(comes), comes, ones[: len(comes)])
        at = columns
        for slot in range(len(self.asked)):
            for node in range(nodes):
                share = self.asked[slot] / self.capacity[node]  # (P, 2)
                comes, goes = everything[to_node == node], everything[from_node == node]
                index = np.concatenate([comes, goes])
                change = np.concatenate([share[of_pod[comes]], -share[of_pod[goes]]])  # (., 2)
                for weight, limit, upper in self.limits:
                    model.addVar(0.0, 1.0)
                    model.changeColCost(at, weight * self.scale)
                    model.changeColIntegrality(at, highspy.HighsVarType.kInteger)
                    for resource in range(2):
                        now = float(self.load[slot, node, resource])
                        values = change[:, resource]
                        used = values != 0
                        names = np.append(index[used], np.int32(at)).astype(np.int32)
                        moved = np.sort(np.abs(values[used]))[::-1][: episode.moves_left].sum()
                        if upper and now + moved > limit:
                            big = now + moved - limit
                            row = np.append(values[used], -big)
                            model.addRow(-highspy.kHighsInf, limit - now, len(names), names, row)
                        elif not upper and now - moved < limit:
                            big = limit - (now - moved)
                            row = np.append(values[used], big)
                            model.addRow(limit - now, highspy.kHighsInf, len(names), names, row)
                    at += 1
        model.changeColsIntegrality(columns, everything, np.full(columns, highspy.HighsVarType.kInteger))
        model.run()
        values = np.array(model.getSolution().col_value[:columns])
        if len(values) < columns:
            return ()
        return [pairs[chosen] for chosen in np.flatnonzero(values > 0.5)]
