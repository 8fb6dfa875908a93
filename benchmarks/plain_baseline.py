"""The same problem and algorithm as research code usually writes them: what the ratios are taken against.

One environment is stepped from Python; the network sees one observation at a time in eager torch; the replay
memory is a list of tuples, one per decision; a batch is put together row by row. Same rules, network and
learning target as the package, and its tests hold it to the package's results. Written for this comparison.
"""

from __future__ import annotations

import copy
import heapq
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.clusters import five_server_episodes
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.datasets.vm_traces.splits import splits_of
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator import Cluster, compile_workload, probe_vm_counts
from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings

Observation = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.int8]]
"""Free shares (N, 2, 2), request (3,) and feasible slots (2N,), as in `simulator.lanes.Observations`."""
Policy = Callable[[Observation], int]


def _named(servers: torch.Tensor, request: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"servers": servers, "request": request}


class PlainEnv:
    """Episodes of strict first come, first served scheduling, one decision per call."""

    def __init__(self, trace: VmTrace, cluster: Cluster) -> None:
        columns = (trace.cpu, trace.memory, trace.arrival, trace.lifetime)
        self.vms = list(zip(*(column.tolist() for column in columns), strict=True))
        self.capacity = np.array([cluster.node_cpu, cluster.node_memory])
        self.servers, self.threshold = cluster.servers, cluster.double_memory_threshold

    def reset(self, start: int, vm_count: int) -> Observation:
        """Begin an episode of `vm_count` VMs at row `start`."""
        self.free = np.tile(self.capacity, (self.servers, 2, 1))
        self.departures: list[tuple[float, int, int]] = []  # (end, VM, slot)
        self.head, self.stop = start, min(start + vm_count, len(self.vms) - 1)
        self.now = self.vms[start][2]
        return self._observe()

    def step(self, slot: int) -> tuple[Observation | None, float, bool]:
        """Place the head VM on `slot`: the next observation, the wait (seconds) and whether that was all."""
        _, _, arrival, lifetime = self.vms[self.head]
        wait = self.now - arrival
        self._take(self.head, slot, 1)
        heapq.heappush(self.departures, (self.now + lifetime, self.head, slot))
        self.head += 1
        if self.head == self.stop:
            return None, wait, True
        arrival = self.vms[self.head][2]
        self._release_until(arrival)
        while not self._feasible().any():
            self._release_until(self.departures[0][0])
        self.now = max(self.now, arrival)
        return self._observe(), wait, False

    def _need(self, vm: int) -> tuple[npt.NDArray[np.float64], bool]:
        """What a VM takes of each node it lies on, and whether it lies on both of a server."""
        cpu, memory, _, _ = self.vms[vm]
        double = memory > self.threshold
        return np.array([cpu, memory]) / (2 if double else 1), double

    def _take(self, vm: int, slot: int, sign: int) -> None:
        need, double = self._need(vm)
        server, node = divmod(slot, 2)
        self.free[server, slice(None) if double else node] -= sign * need

    def _release_until(self, time: float) -> None:
        while self.departures and self.departures[0][0] <= time:
            self.now, vm, slot = heapq.heappop(self.departures)
            self._take(vm, slot, -1)

    def _feasible(self) -> npt.NDArray[np.bool_]:
        need, double = self._need(self.head)
        fits = np.all(self.free >= need, axis=2)
        return np.repeat(np.all(fits, axis=1), 2) if double else np.ravel(fits)

    def _observe(self) -> Observation:
        cpu, memory, _, _ = self.vms[self.head]
        double = memory > self.threshold
        request = [cpu / self.capacity[0], memory / self.capacity[1], double]
        return (
            (self.free / self.capacity).astype(np.float32),
            np.array(request, np.float32),
            self._feasible().astype(np.int8),
        )


def first_fit(observation: Observation) -> int:
    """The lowest feasible slot."""
    return int(observation[2].argmax())


class GreedyPolicy:
    """The feasible slot of the highest value, or with chance `epsilon` any feasible one."""

    def __init__(
        self, network: torch.nn.Module, random: np.random.Generator | None = None, epsilon: float = 0.0
    ) -> None:
        self.network, self.random, self.epsilon = network, random, epsilon

    def __call__(self, observation: Observation) -> int:
        """Choose a slot."""
        servers, request, mask = observation
        if self.random is not None and self.random.random() < self.epsilon:
            return int(self.random.choice(np.flatnonzero(mask)))
        with torch.no_grad():
            q = self.network(_named(torch.from_numpy(servers)[None], torch.from_numpy(request)[None]))[0]
            return int(q.masked_fill(torch.from_numpy(mask) == 0, -torch.inf).argmax())


def play(
    env: PlainEnv, policy: Policy, start: int, vm_count: int
) -> tuple[list[Observation], list[int], list[float]]:
    """One episode: observations, actions and waits (seconds) of its decisions."""
    observation: Observation | None = env.reset(start, vm_count)
    observations, actions, waits = [], [], []
    while observation is not None:
        observations.append(observation)
        actions.append(policy(observation))
        observation, wait, _ = env.step(actions[-1])
        waits.append(wait)
    return observations, actions, waits


class PlainReplay:
    """A list of transitions that is overwritten from its beginning once it is full."""

    def __init__(self, settings: DqnSettings, random: np.random.Generator) -> None:
        self.settings, self.random = settings, random
        self.transitions: list[tuple[Any, ...]] = []
        self.position = 0

    def add_episode(self, observations: list[Observation], actions: list[int], waits: list[float]) -> None:
        """Store every decision with its n-step return and the observation n decisions later."""
        n, gamma = self.settings.n_step, self.settings.discount
        for t, ((servers, request, _), action) in enumerate(zip(observations, actions, strict=True)):
            n_step_return = sum(-(gamma**k) * np.log1p(wait) for k, wait in enumerate(waits[t : t + n]))
            ended = t + n >= len(actions)
            following = observations[t if ended else t + n]  # any will do after the end: its discount is 0
            discount = 0.0 if ended else gamma**n
            self._push((servers, request, action, n_step_return, discount, *following))

    def _push(self, transition: tuple[Any, ...]) -> None:
        if len(self.transitions) < self.settings.replay_capacity:
            self.transitions.append(transition)
        else:
            self.transitions[self.position] = transition
        self.position = (self.position + 1) % self.settings.replay_capacity

    def sample(self) -> list[npt.NDArray[Any]]:
        """A batch drawn uniformly with replacement, as columns.

        These are servers, request, action, return, discount, and the next servers, request and mask.
        """
        rows = self.random.integers(len(self.transitions), size=self.settings.batch_size)
        types = (np.float32, np.float32, np.int64, np.float32, np.float32, np.float32, np.float32, np.int8)
        columns = zip(*(self.transitions[row] for row in rows), strict=True)
        return [np.array(column, dtype) for column, dtype in zip(columns, types, strict=True)]


class PlainUpdate:
    """A double DQN gradient step in eager torch."""

    def __init__(self, network: torch.nn.Module, settings: DqnSettings) -> None:
        self.network, self.target, self.settings = network, copy.deepcopy(network), settings
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.updates = 0

    def update(self, batch: list[npt.NDArray[Any]]) -> float:
        """One step on the columns of a batch; returns the loss before it."""
        settings = self.settings
        servers, request, action, returns, discount, next_servers, next_request, next_mask = map(
            torch.from_numpy, batch
        )
        with torch.no_grad():
            following = _named(next_servers, next_request)
            preference = self.network(following).masked_fill(next_mask == 0, -torch.inf)
            best = preference.argmax(dim=1, keepdim=True)
            future = self.target(following).gather(1, best).squeeze(1)
        q = self.network(_named(servers, request)).gather(1, action[:, None]).squeeze(1)
        loss = torch.nn.functional.mse_loss(q, returns + discount * future)
        self.optimizer.param_groups[0]["lr"] = settings.learning_rate_schedule()(self.updates)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.updates += 1
        if self.updates % settings.target_sync_every == 0:
            self.target.load_state_dict(self.network.state_dict())
        return loss.item()


def placements_per_second(episodes: int, network: torch.nn.Module | None = None) -> float:
    """Speed of `episodes` test episodes on five servers, by First Fit or greedily by `network`."""
    torch.set_num_threads(1)
    workload, cluster, starts, vm_counts = five_server_episodes(episodes)
    env = PlainEnv(workload.trace, cluster)
    policy = first_fit if network is None else GreedyPolicy(network)
    started = time.perf_counter()
    for start, vm_count in zip(starts.tolist(), vm_counts.tolist(), strict=True):
        play(env, policy, start, vm_count)
    return int(vm_counts.sum()) / (time.perf_counter() - started)


def training_iterations(network: torch.nn.Module, count: int) -> list[float]:
    """Seconds of each of `count` iterations of training: one episode and one gradient step.

    The share of random actions is the mean of a whole run. A few iterations before are not counted.
    """
    torch.set_num_threads(1)
    trace, cluster = load_trace(), Cluster()
    settings, random = DqnSettings(), np.random.default_rng(0)
    replay, update = PlainReplay(settings, random), PlainUpdate(network, settings)
    policy = GreedyPolicy(network, random, epsilon=settings.epsilon_initial / 2)
    env, workload = PlainEnv(trace, cluster), compile_workload(trace, cluster)
    starts = random.integers(*splits_of(trace).train, count + 3)
    vm_counts = probe_vm_counts(workload, cluster, starts)
    times = []
    for start, vm_count in zip(starts.tolist(), vm_counts.tolist(), strict=True):
        started = time.perf_counter()
        replay.add_episode(*play(env, policy, start, vm_count))
        update.update(replay.sample())
        times.append(time.perf_counter() - started)
    return times[3:]
