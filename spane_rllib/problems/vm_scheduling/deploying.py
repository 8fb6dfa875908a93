"""Policies outside simulations: free resources of servers and one VM in, a placement out.

A `DeployedPolicy` shows a policy the same numbers that a simulation would, so that it answers as `evaluate`
does: `tests/vm_scheduling/test_deploying.py` replays whole episodes through it. Neither Ray nor pandas is
imported, torch only for networks and scores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.core.plugins import is_plugin
from spane_rllib.core.settings import validated
from spane_rllib.problems.vm_scheduling.choice_policy import ChoicePolicy
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.policies import Decide, Policy, ScorePolicy, load_policy
from spane_rllib.problems.vm_scheduling.pretrained import model_folder
from spane_rllib.problems.vm_scheduling.reference_cluster import (
    DOUBLE_MEMORY_THRESHOLD,
    NODE_CPU,
    NODE_MEMORY,
)
from spane_rllib.problems.vm_scheduling.settings import ClusterSettings
from spane_rllib.problems.vm_scheduling.simulator.cluster import NODES_PER_SERVER, Cluster
from spane_rllib.problems.vm_scheduling.simulator.lanes import Observations
from spane_rllib.problems.vm_scheduling.simulator.plain_numbers import (
    FINER,
    NOT_ALLOWED,
    NOWHERE,
    ROUNDING,
    show,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    DOUBLE,
    FIRST_SLOT,
    HEAD,
    LAST_SLOT,
    RUNNING,
    STATUS,
    LaneState,
    allocate,
)
from spane_rllib.problems.vm_scheduling.simulator.siblings import LONGEST_BURST
from spane_rllib.problems.vm_scheduling.simulator.workload import RESOLUTIONS, WorkloadArrays, resolution_of

if TYPE_CHECKING:
    from spane_rllib.datasets.vm_traces.trace import VmTrace

_ROWS = 1024  # decisions between two moves of what is remembered

ServerArray = npt.ArrayLike
"""(N, 2, 2) free cores and GiB of every NUMA node: `servers[server][node] = (cores, GiB)`."""


class Vm(NamedTuple):
    """What is to be placed.

    Args:
        cpu: cores.
        memory: GiB.
        arrival: seconds since any fixed moment; None for now. Only searched placement scores ask for it.
    """

    cpu: float
    memory: float
    arrival: float | None = None


class Placement(NamedTuple):
    """Where a VM goes: a server, and one of its NUMA nodes, or None for half of it on each of both.

    A server of more than two nodes counts as several, one for each pair of neighbours.
    """

    server: int
    node: int | None


class DeployedPolicy:
    """A policy that places one VM after the other on servers whose free resources the caller knows.

    It remembers what it did: `move-to-front` its last slot, `random` its random numbers, a searched score the
    VMs of the last second. So one object is for one cluster and one thread; `reset` makes it forget.

    Args:
        policy: what decides.
        cluster: size of a NUMA node and the double rule; its number of servers is not used unless they are in
            groups: then these are the servers.
        trace: whose flavours `fgd` asks for.
    """

    def __init__(self, policy: Policy, cluster: Cluster, trace: VmTrace | None = None) -> None:
        if isinstance(policy, ChoicePolicy):
            policy.refuse()
        self.policy, self.cluster, self._trace = policy, cluster, trace
        self._capacity = np.array([cluster.node_cpu, cluster.node_memory])
        sizes = [self._capacity]
        if trace is not None:
            sizes += [trace.cpu, trace.memory]
        # How many parts of a core or GiB are told apart; finer ones are as soon as they are seen.
        self._resolution = resolution_of(np.concatenate(sizes)) or RESOLUTIONS[-1]
        self._exact = True
        # Whether what decides counts in units, which is made anew then. Nothing of this kind is random.
        self._in_units = isinstance(policy, ScorePolicy) or policy.name in ("fgd", "keep-64")
        self._lane: Any = None
        self._decide: Decide
        self.reset()

    @property
    def name(self) -> str:
        """As it was named."""
        return self.policy.name

    def reset(self, seed: int = 0) -> None:
        """Forget what was placed; `seed`, of 64 bits, is for `random`.

        An episode of `evaluate --seed S` that begins at row R has the seed `S << 32 ^ R`.
        """
        self._seed = seed
        self._servers = 0  # so that the next call sets everything up

    def act(self, servers: ServerArray, vm: Vm | tuple[float, float]) -> Placement | None:
        """Where `vm` goes, or None where it fits nowhere.

        Args:
            servers: (N, 2, 2) free cores and GiB of every NUMA node, `servers[server][node] = (cores, GiB)`.
            vm: a `Vm`, or just (cores, GiB).

        Raises:
            UserError: a number makes no sense, or the policy is for another number of servers.
        """
        row, vm, first = self._look(servers, vm)
        if first == NOWHERE:
            return None
        counters = self._state.counters[0]
        counters[HEAD], counters[FIRST_SLOT] = row, first
        if self._in_units:
            self._kind[row] = self._kind_of(row)
            self._times[row, ARRIVAL] = time.monotonic() if vm.arrival is None else vm.arrival
        slot = self._decide(self._lane)
        self._remember(row, slot)
        return Placement(slot >> 1, None if self._need[row, DOUBLE] else slot & 1)

    def fits(self, servers: ServerArray, vm: Vm | tuple[float, float]) -> npt.NDArray[np.bool_]:
        """(N,) whether each server has room for `vm`; arguments and errors as of `act`."""
        free, vm = _numbers(servers, vm)
        double = bool(self.cluster.is_double(vm.cpu, vm.memory))
        need = np.array(vm[:2]) / (NODES_PER_SERVER if double else 1)
        room = np.all(free >= need * (1 - ROUNDING), axis=2)
        return np.logical_and(*room.T) if double else np.logical_or(*room.T)

    def placed(self, placement: Placement | None) -> None:
        """Say where the VM of the last `act` went, where that is not what `act` said; None for nowhere."""
        row = int(self._state.counters[0, HEAD]) - 1
        if row < 0:
            raise UserError("placed: nothing was decided yet; call act first")
        if placement is None:
            self._state.counters[0, HEAD] = row
            return
        slot = NODES_PER_SERVER * placement.server + (placement.node or 0)
        if not 0 <= slot < NODES_PER_SERVER * self._servers:
            raise UserError(f"placed: there is no {placement}; servers are 0 to {self._servers - 1}")
        self._remember(row, slot)

    def _look(self, servers: ServerArray, vm: Vm | tuple[float, float]) -> tuple[int, Vm, int]:
        """Show the policy servers and VM: its row, itself, and the first slot with room or `NOWHERE`."""
        free, vm = _numbers(servers, vm)
        if len(free) != self._servers:
            self._prepare(len(free))
        row = self._next_row()
        first = self._show(free, vm, row)
        if first == FINER:
            self._refine(free, vm)
            first = self._show(free, vm, row)
        if first == NOT_ALLOWED:
            raise UserError(self._refusal(free))
        return row, vm, first

    def _show(self, free: npt.NDArray[np.float64], vm: Vm, row: int) -> int:
        """Write what the policy sees, and the VM to `row`; the first slot that fits, or a negative code."""
        state, observations = self._state, self._observations
        return show(
            free,
            vm.cpu,
            vm.memory,
            vm.memory > self.cluster.double_memory_threshold,
            self._resolution,
            self._exact,
            self._largest[0],
            self._need[row],
            state.free,
            state.share,
            observations.servers,
            observations.request,
            observations.action_mask,
        )

    def _refusal(self, free: npt.NDArray[np.float64]) -> str:
        """Why a node's free resources are not allowed."""
        wrong = ~((free >= 0) & (free <= self._capacity + ROUNDING)).all(axis=2)  # NaN is wrong, too
        server, node = np.argwhere(wrong)[0].tolist() if wrong.any() else (0, 0)
        cpu, memory = self._capacity
        return (
            f"servers: node {node} of server {server} has {free[server, node, 0]:g} cores and "
            f"{free[server, node, 1]:g} GiB free, which is not from 0 to the {cpu:g} cores and {memory:g} "
            "GiB of a node; say node_cpu and node_memory where nodes are larger"
        )

    def _refine(self, free: npt.NDArray[np.float64], vm: Vm) -> None:
        """Take the coarsest unit that all sizes so far are whole numbers of, else the finest."""
        size = np.array(vm[:2])
        old = self._resolution
        for resolution in (r for r in RESOLUTIONS if r % old == 0):
            if _whole(free * (NODES_PER_SERVER * resolution)) and _whole(size * resolution):
                self._resolution = resolution
                break
        else:
            self._resolution, self._exact = RESOLUTIONS[-1], False
        self._need[:, :2] = np.ceil(self._need[:, :2] * (self._resolution / old))
        self._count_in_units()

    def _count_in_units(self) -> None:
        """Take over the present unit."""
        scale = NODES_PER_SERVER * self._resolution
        self._largest[:] = np.rint(self._capacity * scale)
        self._workload.units_per_core = scale
        self._kinds: dict[bytes, int] = {}
        for row in range(int(self._state.counters[0, HEAD])):
            self._kind[row] = self._kind_of(row)
        if self._in_units:
            self._decide = self.policy.decider(self._lane, 0, 0)

    def _prepare(self, servers: int) -> None:
        """Begin with an empty lane of so many servers."""
        cluster = self.cluster if self.cluster.groups else replace(self.cluster, servers=servers)
        if servers != cluster.pairs:
            raise UserError(f"servers: must be {cluster.pairs}, of {cluster.text} (a pair of nodes each)")
        if not self.policy.accepts(servers):
            raise UserError(f"policy {self.name}: was made for another number of servers than {servers}")
        features = getattr(self.policy, "server_features", None)
        if features not in (None, NODES_PER_SERVER * cluster.node_features):
            kind = "equal servers" if cluster.shows_sizes else "servers that differ"
            raise UserError(f"policy {self.name}: was trained on {kind}")
        self._servers = servers
        self._need = np.zeros((_ROWS, 3), np.int32)
        self._times = np.zeros((_ROWS, 2))
        self._kind = np.zeros(_ROWS, np.int32)
        self._largest = np.zeros((1, 2), np.int32)
        self._state: LaneState = allocate(1, NODES_PER_SERVER * servers, _ROWS, waits=False)
        self._state.counters[0, LAST_SLOT] = -1
        self._state.counters[0, STATUS] = RUNNING
        self._observations = Observations.empty(1, cluster)
        # What policies read of `Lanes`. Compiled code was made for arrays of a trace, which nobody writes.
        arrays: tuple[npt.NDArray[Any], ...] = (
            self._need,
            self._times,
            np.zeros(0),
            np.zeros(0, np.int32),
            self._largest,
        )
        self._workload = SimpleNamespace(
            arrays=WorkloadArrays(*map(_read_only, arrays)),
            kind=self._kind,
            is_double=self.cluster.is_double,
            trace=self._trace,
        )
        self._lane = SimpleNamespace(
            workload=self._workload,
            cluster=cluster,
            state=self._state,
            observations=self._observations,
        )
        self._count_in_units()
        self._decide = self.policy.decider(self._lane, self._seed & 0xFFFFFFFF, self._seed >> 32)

    def _next_row(self) -> int:
        """The row of the VM at hand; now and then the last ones are moved to the front to make room."""
        row = int(self._state.counters[0, HEAD])
        if row < _ROWS:
            return row
        for array in (self._need, self._times, self._kind, self._state.slot_of[0]):
            array[:LONGEST_BURST] = array[row - LONGEST_BURST : row].copy()
        self._state.counters[0, HEAD] = LONGEST_BURST
        return LONGEST_BURST

    def _kind_of(self, row: int) -> int:
        """The same number for VMs that need the same."""
        return self._kinds.setdefault(self._need[row].tobytes(), len(self._kinds))

    def _remember(self, row: int, slot: int) -> None:
        counters = self._state.counters[0]
        self._state.slot_of[0, row] = slot
        counters[LAST_SLOT], counters[HEAD] = slot, row + 1


def load_deployed(
    policy: str | os.PathLike[str],
    *,
    node_cpu: float | None = None,
    node_memory: float | None = None,
    double_memory_threshold: float | None = None,
    server_groups: Sequence[Mapping[str, Any]] | None = None,
    trace: str | os.PathLike[str] | None = None,
) -> DeployedPolicy:
    """The policy called `policy`, ready to place VMs; `spane_rllib.load_policy` is this function.

    Args:
        policy: a heuristic, a shipped model (`best@pretrained`), the directory of a trained model, or
            `module:Class`, a policy of your own.
        node_cpu, node_memory: cores and GiB of one NUMA node (default: of the cluster the model was trained
            on; of heuristics 40 and 90).
        double_memory_threshold: GiB of memory above which a VM is split over both nodes of a server (default:
            the model's; of heuristics 10).
        server_groups: the servers where they differ, as environments take them, in place of `node_cpu` and
            `node_memory` (default: those the model was trained on). Then (N, 2, 2) free resources are of all
            their pairs of nodes.
        trace: the trace whose flavours `fgd` asks for, as `evaluate --trace`; of no use to others.

    Raises:
        UserError: it is none of these, its files are damaged, or it was trained under another double rule
            than by memory and no threshold is given.
    """
    text = os.fspath(policy)
    cluster = _trained_cluster(text) | {
        name: value
        for name, value in (
            ("node_cpu", node_cpu),
            ("node_memory", node_memory),
            ("double_memory_threshold", double_memory_threshold),
        )
        if value is not None
    }
    if cluster["double_memory_threshold"] is None:
        raise UserError(
            f"policy {text}: was trained in a scenario that splits VMs by another rule than memory; give "
            "double_memory_threshold, GiB above which a VM is split over both nodes (inf: none is)"
        )
    servers = _servers(cluster, server_groups, node_cpu is not None or node_memory is not None)
    if text != "fgd":
        return DeployedPolicy(load_policy(text), servers)

    from spane_rllib.datasets.vm_traces.loading import load_trace
    from spane_rllib.datasets.vm_traces.splits import splits_of

    flavours = load_trace(trace)
    return DeployedPolicy(load_policy(text, splits_of(flavours).train[1]), servers, flavours)


def _trained_cluster(text: str) -> dict[str, Any]:
    """What observations of the model that `text` means were divided by; of other policies the reference."""
    if text not in HEURISTICS and not is_plugin(text):
        folder = model_folder(text)
        if text and folder.exists():
            from spane_rllib.problems.vm_scheduling.networks.weights import load_model

            metadata = load_model(folder)[1]
            return metadata.normalisation.model_dump() | {"groups": metadata.cluster.groups}
    return {
        "groups": (),
        "node_cpu": NODE_CPU,
        "node_memory": NODE_MEMORY,
        "double_memory_threshold": DOUBLE_MEMORY_THRESHOLD,
    }


def _servers(trained: Mapping[str, Any], groups: Sequence[Mapping[str, Any]] | None, sized: bool) -> Cluster:
    """The servers: `groups`, else those of the model if they differ, unless nodes are `sized`."""
    sizes = dict(trained)
    of_model = sizes.pop("groups")
    if groups is None and (sized or not of_model):
        return Cluster(1, **sizes)
    if sized:
        raise UserError("server_groups: say how large nodes are; leave out node_cpu and node_memory")
    threshold = sizes["double_memory_threshold"]
    if groups is None:
        return Cluster.of_groups(of_model, threshold)
    from spane_rllib.problems.vm_scheduling.data import configured_cluster

    settings = validated(ClusterSettings, {"server_groups": tuple(groups)})
    return replace(configured_cluster(settings), double_memory_threshold=threshold)


def _numbers(servers: ServerArray, vm: Vm | tuple[float, float]) -> tuple[npt.NDArray[np.float64], Vm]:
    """Both as floats; a `UserError` where their form is wrong."""
    # A copy, contiguous and writable: numba would compile `show` anew for another kind of array.
    free = np.array(servers, np.float64, order="C")
    if free.ndim != 3 or free.shape[1:] != (NODES_PER_SERVER, 2) or not len(free):
        raise UserError(
            f"servers: must be (N, 2, 2), free cores and GiB of both NUMA nodes, got {free.shape}"
        )
    vm = Vm(float(vm[0]), float(vm[1]), vm[2] if len(vm) > 2 else None)
    if not (0 < vm.cpu < np.inf and 0 < vm.memory < np.inf):
        raise UserError(f"vm: {vm.cpu} cores and {vm.memory} GiB are not allowed; give positive numbers")
    return free, vm


def _whole(numbers: npt.NDArray[np.float64]) -> bool:
    return bool((np.abs(numbers - np.rint(numbers)) < ROUNDING).all())


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view
