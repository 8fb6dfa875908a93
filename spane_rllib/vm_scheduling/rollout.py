"""Episodes under a network: greedy ones for evaluation, exploring and recorded ones for training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from spane_rllib.compiling import compiled
from spane_rllib.vm_scheduling.networks.compiled import CompiledQNetwork
from spane_rllib.vm_scheduling.simulator import Cluster, EpisodeResults, Lanes, Workload

Rows = npt.NDArray[np.int64]
EVALUATION_LANES = 256


def greedy_episodes(
    network: CompiledQNetwork,
    workload: Workload,
    cluster: Cluster,
    starts: Rows,
    vm_counts: Rows,
    lanes: int = EVALUATION_LANES,
    progress: Callable[[int], None] | None = None,
) -> EpisodeResults:
    """Run one episode of `vm_counts[e]` VMs from row `starts[e]` for every e, always taking the best action.

    A lane whose episode ends takes the next one at once, longest episodes first, so that few lanes idle at
    the end. The results do not depend on `lanes`. `progress` is called with the number of finished episodes.
    """
    batch = Lanes(workload, cluster, max(1, min(lanes, len(starts))))
    queue = np.argsort(-vm_counts, kind="stable")
    episode_of = queue[: len(batch)].copy()
    batch.reset(np.arange(len(episode_of)), starts[episode_of], vm_counts[episode_of])
    waiting = len(episode_of)
    finished = 0
    results = EpisodeResults.empty(len(starts))
    actions = np.empty(len(batch), np.int64)
    while finished < len(starts):
        network.greedy_actions(*batch.observations, out=actions)
        if batch.step(actions) == 0:
            continue
        ended = np.flatnonzero(~batch.running & (episode_of >= 0))
        results.store(episode_of[ended], batch.results(ended))
        finished += len(ended)
        refill = queue[waiting : waiting + len(ended)]
        waiting += len(refill)
        episode_of[ended] = -1
        episode_of[ended[: len(refill)]] = refill
        batch.reset(ended[: len(refill)], starts[refill], vm_counts[refill])
        if progress is not None:
            progress(finished)
    return results


@dataclass(frozen=True)
class RecordedEpisode:
    """One finished training episode of T decisions; the arrays are views, copy what you keep."""

    servers: npt.NDArray[np.float32]  # (T, N, 2, 2)
    request: npt.NDArray[np.float32]  # (T, 3)
    action_mask: npt.NDArray[np.int8]  # (T, 2N)
    action: Rows  # (T,)
    wait: npt.NDArray[np.float64]  # (T,) seconds
    servers_after: npt.NDArray[np.float32]  # (T, N, 2, 2) what the next decision sees
    total_wait: float  # seconds


class ExploringRollout:
    """Plays training episodes side by side and records them.

    Args:
        workload, cluster: what is simulated.
        lanes: episodes side by side.
        random: decides which actions are random.
    """

    def __init__(self, workload: Workload, cluster: Cluster, lanes: int, random: np.random.Generator) -> None:
        self._lanes = Lanes(workload, cluster, lanes)
        self._random = random
        self._room = 0

    def _make_room(self, ticks: int) -> None:
        if ticks + 1 <= self._room:
            return
        # One row more than decisions: the state after the last one.
        self._room = max(ticks + 1, 2 * self._room)
        seen = self._lanes.observations
        self._servers = np.zeros((self._room, *seen.servers.shape), np.float32)
        self._request = np.zeros((self._room, *seen.request.shape), np.float32)
        self._mask = np.zeros((self._room, *seen.action_mask.shape), np.int8)
        self._action = np.zeros((self._room, len(seen.request)), np.int64)
        self._wait = np.zeros((self._room, len(seen.request)), np.float64)

    def play(
        self, network: CompiledQNetwork, epsilon: float, starts: Rows, vm_counts: Rows
    ) -> Iterator[RecordedEpisode]:
        """Play one episode per start, at most one per lane; each action is random with chance `epsilon`."""
        lanes, count = self._lanes, len(starts)
        lanes.reset(np.arange(count), starts, vm_counts)
        self._make_room(int(vm_counts.max()))
        seen, actions = lanes.observations, np.empty(len(lanes), np.int64)
        tick, running = 0, count
        while running:
            network.greedy_actions(*seen, out=actions)
            if epsilon > 0:
                _explore(actions, seen.action_mask, self._random.random((2, len(lanes))), epsilon)
            self._servers[tick] = seen.servers
            self._request[tick] = seen.request
            self._mask[tick] = seen.action_mask
            self._action[tick] = actions
            running -= lanes.step(actions)
            self._wait[tick] = lanes.wait
            tick += 1
        self._servers[tick] = seen.servers
        totals = lanes.results(np.arange(count))
        for lane in range(count):
            length = int(totals.placed[lane])
            yield RecordedEpisode(
                servers=self._servers[:length, lane],
                request=self._request[:length, lane],
                action_mask=self._mask[:length, lane],
                action=self._action[:length, lane],
                wait=self._wait[:length, lane],
                servers_after=self._servers[1 : length + 1, lane],
                total_wait=float(totals.total_wait[lane]),
            )


@compiled
def _explore(
    actions: Rows, action_mask: npt.NDArray[np.int8], uniform: npt.NDArray[np.float64], epsilon: float
) -> None:
    """Replace each action, with chance `epsilon`, by a feasible one drawn uniformly."""
    for lane in range(len(actions)):
        if actions[lane] < 0 or uniform[0, lane] >= epsilon:
            continue
        mask = action_mask[lane]
        feasible = 0
        for slot in range(len(mask)):
            feasible += mask[slot] != 0
        pick = int(uniform[1, lane] * feasible)
        for slot in range(len(mask)):
            if mask[slot] != 0:
                if pick == 0:
                    actions[lane] = slot
                    break
                pick -= 1
