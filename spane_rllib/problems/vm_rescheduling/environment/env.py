"""The Gymnasium environment of VM rescheduling."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import one_of
from spane_rllib.problems.vm_rescheduling.environment.observing import (
    MACHINE_COLUMNS,
    OWN_COLUMNS,
    corrupted_features,
    machine_features,
    observation_of,
    padded,
)
from spane_rllib.problems.vm_rescheduling.mappings.loading import Mappings
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import most_vms
from spane_rllib.problems.vm_rescheduling.simulator.rules import DOUBLE
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Simulation

Observation = dict[str, npt.NDArray[Any]]

_CORES_PER_REWARD = 128
PENALTY = -5.0
"""Reward of an illegal action where constraints are penalties."""
_BOUND = 2.0**31 - 1


class VMReschedulingEnv(gymnasium.Env[Observation, npt.NDArray[np.int64]]):
    """
    ## Description

    VMs run on machines of two NUMA nodes; what is free is scattered. Every step migrates one VM, so that as
    much as possible of what is free is in slots of 16 cores. A double VM has half of its cores and memory on
    each node of its machine. VMs of one anti-affinity group must not share a machine.

    ## Action Space

    `MultiDiscrete([vms, machines, 2])`: the VM, the machine and the NUMA node it goes to; node 0 for a
    double VM. Where a VM is already is a legal target, too: nothing happens then, and the step is used.
    `target_mask(vm)` has the legal targets of a VM; `action_mask` of the observation the VMs that have any
    but their own.

    ## Observation Space

    A `Dict` of new arrays. P machines, V rows for VMs, of which those behind the VMs of the mapping are
    padding.

    | Key           | Shape   | Type    | Meaning                                                                     |
    |---------------|---------|---------|-----------------------------------------------------------------------------|
    | `machines`    | (P, 8)  | float32 | f0, f1, m0, m1, r0, q0, r1, q1: free cores / 88, MB / 368,776, (f mod 16) / f and / 16 |
    | `vms`         | (V, 6)  | float32 | cores on nodes 0, 1 / 88, MB / 368,776, (cores mod 16) / 16; with `features="published"` also the 8 columns of the host |
    | `host`        | (V,)    | int32   | the machine of each VM, -1 for padding                                      |
    | `node`        | (V,)    | int32   | its node, 2 for both, -1 for padding                                        |
    | `demand`      | (V, 3)  | int32   | cores and MB on each of its nodes, and its group, -1 for none               |
    | `free`        | (P, 4)  | int32   | free cores and MB of the nodes                                              |
    | `action_mask` | (V,)    | int8    | 1 for VMs that can migrate; with `constraint="penalty"` for all VMs         |
    | `steps_left`  | (1,)    | float32 | share of the migrations that is left                                        |
    | `edges`       | (P + V,)| int32   | with `graph`: the machine of every machine (itself) and VM, -1 for padding  |

    ## Rewards

    Cores in fragments before the step less those after it, over 128; so a slot of 16 cores is worth 1/8. The
    sum over an episode is (FR at the start - FR at the end) * free cores / 128. With another objective than
    `fr16` FR is its value. An illegal action is an error or, with `constraint="penalty"`, changes nothing
    and is worth -5.

    ## Starting State

    A mapping of the split, drawn from the seed of `reset`, or `reset(options={"map": number})`.

    ## Episode End

    Termination after `migrations` steps, or when no VM can migrate.

    ## Info

    `fragment_rate` (the value of the objective), `map` (number of the mapping), `legal` (of the last action).

    ## Arguments

    - `mappings`, `machines`, `migrations`, `objective`: see `RescheduleSettings`.
    - `split`: "train", "validation" or "test".
    - `constraint`: "mask" or "penalty".
    - `graph`: adds `edges`.
    - `features`: "own", or "published" for the 14 columns of VMs.
    - `compat`: with `features="published"`: the published environment's errors in machine columns after
    single
      VMs have moved, and in VM columns, which keep the node that a VM began on.
    - `vms`: rows for VMs; None for as many as the mappings can have.

    Values that are not allowed raise `UserError`.

    ## Version History

    - v0: first version.

    ## References

    - VMR2L, EuroSys 2025; ByteDance's release of 2022: https://github.com/bytedance/DRL-based-VM-Rescheduling
    """  # noqa: E501  # tables of the documentation

    def __init__(
        self,
        mappings: str = "high",
        machines: int | None = None,
        migrations: int = 50,
        objective: str = "fr16",
        split: str = "train",
        constraint: str = "mask",
        graph: bool = False,
        features: str = "own",
        compat: bool = False,
        vms: int | None = None,
        render_mode: None = None,
    ) -> None:
        for word, allowed in (
            (split, ("train", "validation", "test")),
            (constraint, ("mask", "penalty")),
            (features, ("own", "published")),
        ):
            try:
                one_of(word, allowed)
            except ValueError as error:
                raise UserError(f"env_config: {error}") from error
        if compat and features != "published":
            raise UserError('env_config: compat is about features="published"')
        self._mappings, self.objective, self.migrations = (
            Mappings(mappings, machines),
            objective,
            migrations,
        )
        self._numbers = self._mappings.numbers(split)
        if not len(self._numbers):
            raise UserError(f"split {split}: there are no mappings in it")
        self._penalty, self._graph, self._published, self._compat = (
            constraint == "penalty",
            graph,
            features == "published",
            compat,
        )
        self._rows = vms or self._most_vms()
        self._machines = self._mappings[self._numbers[0]].machines
        space: Any = gymnasium.spaces.MultiDiscrete([self._rows, self._machines, 2])
        self.action_space = space
        self.observation_space = self._space()
        self.render_mode = render_mode
        self._simulation: Simulation | None = None
        self._number, self._step = 0, 0

    def _most_vms(self) -> int:
        if self._mappings.synthetic:
            return most_vms(self._mappings.source, self._mappings.machines)
        return max(self._mappings[number].vms for number in self._numbers)

    def _space(self) -> gymnasium.spaces.Dict:
        rows, machines = self._rows, self._machines
        columns = OWN_COLUMNS + MACHINE_COLUMNS * self._published

        def whole(*shape: int, low: float = -1) -> gymnasium.spaces.Box:
            return gymnasium.spaces.Box(low, _BOUND, shape, np.int32)

        spaces: dict[str, gymnasium.Space[Any]] = {
            "machines": gymnasium.spaces.Box(0, np.inf, (machines, MACHINE_COLUMNS), np.float32),
            "vms": gymnasium.spaces.Box(0, np.inf, (rows, columns), np.float32),
            "host": whole(rows),
            "node": whole(rows),
            "demand": whole(rows, 3),
            "free": whole(machines, 4, low=0),
            "action_mask": gymnasium.spaces.Box(0, 1, (rows,), np.int8),
            "steps_left": gymnasium.spaces.Box(0, 1, (1,), np.float32),
        }
        if self._graph:
            spaces["edges"] = whole(machines + rows)
        return gymnasium.spaces.Dict(spaces)

    @property
    def simulation(self) -> Simulation:
        """What the episode is played on."""
        if self._simulation is None:
            raise UserError("call reset first")
        return self._simulation

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin with a drawn mapping, or the one that the options name."""
        super().reset(seed=seed)
        drawn = self._numbers[int(self.np_random.integers(len(self._numbers)))]
        self._number = int((options or {}).get("map", drawn))
        mapping = self._mappings[self._number]
        if mapping.vms > self._rows or mapping.machines != self._machines:
            raise UserError(
                f"mapping {mapping.name}: {mapping.machines} machines and {mapping.vms} VMs; this "
                f"environment has {self._machines} and room for {self._rows}"
            )
        self._simulation = Simulation(mapping, self.objective)
        self._step = 0
        state = self._simulation.state
        self._shown = machine_features(state.free, state.memory)
        self._own = observation_of(state, self._rows, 1.0)["vms"]
        return self._observe(), self._info(True)

    def target_mask(self, vm: int) -> npt.NDArray[np.bool_]:
        """(P, 2) legal targets of a VM, where it is among them; all with `constraint="penalty"`."""
        simulation = self.simulation
        if self._penalty:
            return np.ones((self._machines, 2), np.bool_)
        targets = simulation.legal_targets(vm)
        targets[simulation.state.machine[vm], simulation.state.node[vm]] = True
        return targets

    def step(self, action: npt.NDArray[np.int64]) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Migrate a VM."""
        simulation = self.simulation
        vm, machine, node = (int(part) for part in action)
        state, before = simulation.state, simulation.cost
        legal = 0 <= vm < len(state.vms)
        stays = (
            legal and machine == state.machine[vm] and (node == state.node[vm] or state.vms[vm, DOUBLE] != 0)
        )
        if legal and not stays:
            source, old = int(state.machine[vm]), int(state.node[vm])
            try:
                simulation.migrate(vm, machine, node)
                self._show(vm, source, old)
            except ValueError:
                legal = False
        if not legal and not self._penalty:
            raise ValueError(f"VM {vm} may not migrate to node {node} of machine {machine}")
        scale = simulation.objective.free_cores / simulation.objective.scale / _CORES_PER_REWARD
        reward = (before - simulation.cost) * scale if legal else PENALTY
        self._step += 1
        observation = self._observe()
        done = self._step >= self.migrations or not observation["action_mask"].any()
        return observation, reward, done, False, self._info(legal)

    def _show(self, vm: int, source: int, node: int) -> None:
        """Bring the machine columns up to date after a migration."""
        state = self.simulation.state
        correct = machine_features(state.free, state.memory)
        target = int(state.machine[vm])
        if self._compat and state.vms[vm, DOUBLE] == 0:
            corrupted_features(self._shown, correct, source, node, arrives=False)
            corrupted_features(self._shown, correct, target, int(state.node[vm]), arrives=True)
        else:
            self._shown[[source, target]] = correct[[source, target]]

    def _observe(self) -> Observation:
        simulation = self.simulation
        state = simulation.state
        left = 1.0 - self._step / self.migrations
        observation = observation_of(state, self._rows, left)
        observation["machines"] = self._shown.copy()
        if self._compat:
            observation["vms"] = self._own.copy()
        if self._published:
            hosts = padded(self._shown[state.machine], self._rows)
            observation["vms"] = np.concatenate([observation["vms"], hosts], axis=1)
        can = np.ones(len(state.vms), np.bool_) if self._penalty else simulation.movable()
        observation["action_mask"] = padded(can.astype(np.int8), self._rows)
        if self._graph:
            machines = np.arange(self._machines, dtype=np.int32)
            observation["edges"] = np.concatenate([machines, observation["host"]])
        return observation

    def _info(self, legal: bool) -> dict[str, Any]:
        return {"fragment_rate": self.simulation.value, "map": self._number, "legal": legal}
