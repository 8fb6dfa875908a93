"""Moves one after the other, until the window begins."""

from __future__ import annotations

from typing import Any

import gymnasium

from spane_rllib.problems.pod_migration.environments.base import WindowEnv
from spane_rllib.problems.pod_migration.environments.observation import Observation
from spane_rllib.problems.pod_migration.instance import TERMS


class PodMigrationEnv(WindowEnv):
    """
    ## Description

    Before each window of demand up to `moves` pods are moved. Then the requests of the window go to the pods
    in turn, and every node is looked at in every slot of the window.

    ## Action Space

    `Discrete(P * N + 1)`: action p * N + n moves pod p to node n; the last one, stop, begins the window, and
    so does the last move that is allowed.

    ## Observation Space

    | Key           | Shape       | Type    | Meaning                                                        |
    |---------------|-------------|---------|----------------------------------------------------------------|
    | `nodes`       | (N, 4)      | float32 | CPU, memory, of a mean node; shares that its pods ask for      |
    | `history`     | (N, 8, 2)   | float32 | load, of its capacity, at 8 moments of the last window         |
    | `pods`        | (P, 8)      | float32 | CPU, memory: asked for, by requests, given; moved; turn        |
    | `pod_node`    | (P,)        | int64   | node of each pod                                               |
    | `window`      | (4,)        | float32 | time of day, requests of the last window, moves left           |
    | `action_mask` | (P N + 1,)  | int8    | 1 for moves that are allowed, and for stop                     |

    `pods` has, of a mean node, what each pod asks for at any time, what its requests asked for in the last
    window and what it was given at its end; 1 if it has moved since; and the requests until its turn.
    `window` has the sine and the cosine of the time of day, log(1 + requests) and the share of moves left.

    ## Rewards

    A move costs its share of `weights.moved`. A window earns minus the weighted shares of overloaded and
    underloaded node-slots and of unsatisfied pods. `info["terms"]` has the parts; their sum is the reward.

    ## Starting State and Episode End

    The pods are where the cluster has them, and the first pod has the first request. `reset(seed=...)`
    decides the first window, among those of training; `options={"start": w}` says it. Truncated after
    `horizon` windows, terminated at the end of the trace. The info has the counts so far, and the `penalty`:
    minus the mean reward of a window so far, in percent.

    ## Arguments

    The fields of `settings.PodSettings`; see `WindowEnv`.
    """

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        cluster = self.instance.cluster
        self.action_space = gymnasium.spaces.Discrete(cluster.pods * cluster.nodes + 1)

    def step(self, action: int) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Make a move, or begin the window.

        Raises:
            ValueError: the move is not allowed.
        """
        terms = dict.fromkeys(TERMS, 0.0)
        cluster = self.instance.cluster
        stop = action == cluster.pods * cluster.nodes
        if not stop:
            terms["migration"] = self._move(*divmod(int(action), cluster.nodes))
        if stop or not self._episode.moves_left:
            terms |= self._play_window()
        return self._result(terms)
