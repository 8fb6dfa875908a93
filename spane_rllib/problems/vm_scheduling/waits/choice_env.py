"""The Gymnasium environment in which the agent also chooses whom to place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.splits import Splits
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.environments import known_keywords
from spane_rllib.problems.vm_scheduling.instance import check_whole
from spane_rllib.problems.vm_scheduling.queue_disciplines import parse_queue
from spane_rllib.problems.vm_scheduling.reference_cluster import (
    DOUBLE_MEMORY_THRESHOLD,
    NODE_CPU,
    NODE_MEMORY,
    SERVERS,
)
from spane_rllib.problems.vm_scheduling.simulator.choice_lane import (
    WAITING_FEATURES,
    ChoiceLane,
    flattened,
)
from spane_rllib.problems.vm_scheduling.simulator.choice_rules import REFUSED
from spane_rllib.problems.vm_scheduling.simulator.episodes import EXTRA_VMS, EpisodeResults
from spane_rllib.problems.vm_scheduling.simulator.lanes import InfeasibleAction
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    FIRST,
    RUNNING,
    START,
    STUCK,
    WAIT,
    WAITING,
)
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
from spane_rllib.problems.vm_scheduling.waits.rewards import RewardFunction

Observation = dict[str, npt.NDArray[Any]]

_QUEUE = parse_queue("skip")


class VMChoiceEnv(gymnasium.Env[Observation, npt.NDArray[np.int64] | int]):
    """
    ## Description

    As `VMSchedulingEnv`, but nobody has to be served first: whenever one of the first `choices` VMs in the
    queue fits somewhere, the agent places one of them, or waits for the next departure or arrival, for
    instance to keep room for a large VM. Departures of an instant happen together and before its arrivals,
    which happen one by one.

    Choosing the first VM where it fits, else waiting, is first come, first served. Choosing the first that fits
    is the queue discipline `skip:CHOICES`.

    ## Action Space

    `MultiDiscrete([choices + 1, 2 * servers])`: whom, by the place in the queue, and on which slot, which is
    node `slot % 2` of server `slot // 2`. The last `whom` waits, whatever the slot. `action_mask` has who fits
    somewhere, and `slot_mask` where.

    With `flat_actions` it is `Discrete(2 * servers * choices + 1)`: action `2 * servers * whom + slot`, and the
    last one waits. `action_mask` then has one entry for each, and there is no `slot_mask`. Learners of one
    choice of many, those here among them, need this form.

    ## Observation Space

    A `Dict` of new arrays:

    | Key           | Shape                    | Type    | Range  | Meaning                                   |
    |---------------|--------------------------|---------|--------|-------------------------------------------|
    | `servers`     | (servers, 2, 2)          | float32 | 0 to 1 | free share by server, node, (cpu, memory) |
    | `waiting`     | (choices, 4)             | float32 | 0 up   | cpu and memory in shares of a node, 1 if double, log(1 + seconds waited); 0 for nobody |
    | `action_mask` | (choices + 1,)           | int8    | 0 or 1 | 1 for who fits, and for waiting           |
    | `slot_mask`   | (choices, 2 * servers)   | int8    | 0 or 1 | 1 where each of them fits                 |

    Waiting is not allowed when nothing is left to happen.

    ## Rewards

    That of `VMSchedulingEnv` for the VM just placed, by default `-log(1 + wait)`; 0 for waiting.

    ## Starting State

    As `VMSchedulingEnv`; the first VM of the episode waits.

    ## Episode End

    - Termination: all VMs of the episode are placed.
    - Truncation: no VM can be placed and nothing that runs ever ends.
    - An infeasible action raises `InfeasibleAction` and changes nothing.

    ## Info

    `wait` of the VM just placed, `time`, `placed`, `total_wait`, `max_wait`, `start` and `vm_count` as in
    `VMSchedulingEnv`; `waiting`, VMs in the queue; `vm`, the row of the first of them, or -1.

    ## Arguments

    Those of `VMSchedulingEnv` but `queue`, `lifetimes` and `infeasible_action`, and `choices`: how many of the
    first VMs in the queue the agent chooses from; `flat_actions`: see above.

    ## Version History

    - v0: first version.
    """  # noqa: E501  # tables of the documentation

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  # as Gymnasium declares it

    @known_keywords
    def __init__(
        self,
        trace: VmTrace | str | PathLike[str] | None = None,
        servers: int = SERVERS,
        node_cpu: float = NODE_CPU,
        node_memory: float = NODE_MEMORY,
        double_memory_threshold: float = DOUBLE_MEMORY_THRESHOLD,
        server_groups: Sequence[Mapping[str, Any]] | None = None,
        split: str = "train",
        splits: Splits | Mapping[str, Sequence[int]] | None = None,
        reward: str | RewardFunction = "log_wait",
        extra_vms: int = EXTRA_VMS,
        choices: int = 8,
        flat_actions: bool = False,
        render_mode: None = None,
    ) -> None:
        if render_mode is not None:
            raise UserError(f"render_mode: {render_mode!r} is not allowed; only None is")
        check_whole("choices", choices, 1)
        self.instance = WaitInstance(
            trace=trace,
            servers=servers,
            node_cpu=node_cpu,
            node_memory=node_memory,
            double_memory_threshold=double_memory_threshold,
            server_groups=server_groups,
            split=split,
            splits=splits,
            reward=reward,
            extra_vms=extra_vms,
            queue=_QUEUE.text,
        )
        slots = self.instance.cluster.slots
        self.choices, self.flat_actions = int(choices), bool(flat_actions)
        self._lane = ChoiceLane(self.instance.workload, self.instance.cluster, self.choices)
        observed: dict[str, spaces.Space[Any]] = {
            "servers": spaces.Box(0.0, 1.0, self._lane.servers.shape, np.float32),
            # A wait of 2^40 s has a logarithm of 28.
            "waiting": spaces.Box(0.0, 28.0, (self.choices, WAITING_FEATURES), np.float32),
        }
        space: Any
        if self.flat_actions:
            space = spaces.Discrete(self.choices * slots + 1)
            observed["action_mask"] = spaces.Box(0, 1, (self.choices * slots + 1,), np.int8)
        else:
            space = spaces.MultiDiscrete([self.choices + 1, slots])
            observed["action_mask"] = spaces.Box(0, 1, (self.choices + 1,), np.int8)
            observed["slot_mask"] = spaces.Box(0, 1, (self.choices, slots), np.int8)
        self.action_space = space
        self.observation_space = spaces.Dict(observed)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode; `options` are those of `VMSchedulingEnv`."""
        super().reset(seed=seed)
        [start], [vm_count] = self.instance.episodes([self.np_random], options)
        self._lane.reset(start, vm_count)
        return self._observe(), self._describe()

    def step(
        self, action: npt.NDArray[np.int64] | int
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Place a VM, or wait.

        Raises:
            InfeasibleAction: nobody is there in the queue, the slot has no room, or waiting is not allowed.
            ResetNeeded: no episode is running.
        """
        lane = self._lane
        if not lane.running:
            raise ResetNeeded("no episode is running; call reset() first")
        whom, slot = lane.parts_of(int(action)) if self.flat_actions else map(int, np.asarray(action))
        status = lane.act(whom, slot)
        if status == REFUSED:
            raise InfeasibleAction(self._explain(whom, slot))
        observation = self._observe()
        reward = 0.0
        if whom < self.choices:
            wait = lane.state.clocks[:, WAIT]
            reward = float(self.instance.reward_function(wait, observation["servers"][None])[0])
        info = self._describe(whom < self.choices)
        return observation, reward, status not in (RUNNING, STUCK), status == STUCK, info

    def results(self) -> EpisodeResults:
        """The totals of the episode so far, as if it ended now."""
        return EpisodeResults.of_state(self._lane.state.counters, self._lane.state.clocks)

    def _explain(self, whom: int, slot: int) -> str:
        observation = self._lane.observe()
        feasible = np.flatnonzero(observation["action_mask"]).tolist()
        if 0 <= whom < self.choices and observation["action_mask"][whom]:
            slots = np.flatnonzero(observation["slot_mask"][whom]).tolist()
            return f"slot {slot} has no room for the VM at place {whom} of the queue; feasible are {slots}"
        return f"whom {whom} is not feasible; feasible are {feasible}, where {self.choices} waits"

    def _observe(self) -> Observation:
        observation = self._lane.observe()
        return flattened(observation) if self.flat_actions else observation

    def _describe(self, placed: bool = False) -> dict[str, Any]:
        state = self._lane.state
        (counters,), (clocks,) = state.counters.tolist(), state.clocks.tolist()
        info = self.instance.describe(counters, clocks)
        waiting = counters[WAITING]
        vm = counters[START] + counters[FIRST] if waiting else -1
        return info | {
            "wait": clocks[WAIT] if placed else 0.0,
            "waiting": waiting,
            "vm": vm,
        }
