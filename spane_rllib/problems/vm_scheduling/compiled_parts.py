"""What is compiled for waits, in parts for processes side by side; each imports no more than it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spane_rllib.core.compiling import is_compiled
from spane_rllib.datasets.vm_traces.synthetic import synthesize
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy, NetworkPolicy
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    Heuristic,
    Lanes,
    Workload,
    episodes,
    lanes,
    lower_bound,
)


def missing_parts(policies: Sequence[Any] | None) -> tuple[str, ...]:
    """Parts that the cache lacks for training, or for the evaluation of `policies`.

    Those of an evaluation are needed whoever decides, but for "playing", which takes as long as the others.
    Of those for training every second ones take about as long as the rest; "stepping" shares building blocks
    with "exploring".
    """
    parts: dict[str, Any]
    if policies is None:
        from spane_rllib.problems.vm_scheduling import rollout
        from spane_rllib.problems.vm_scheduling.networks import gradient_kernel

        parts = {
            "bounds": lower_bound._bounds,
            "exploring": rollout._play_exploring,
            "heuristics": episodes._run_episodes,
            "playing": rollout._play_greedily,
            "gradients": gradient_kernel.q_learning_batch,
            "stepping": lanes._step,
        }
    else:
        parts = {"bounds": lower_bound._bounds, "heuristics": episodes._run_episodes}
        networks = [policy.network for policy in policies if isinstance(policy, NetworkPolicy)]
        if networks:
            from spane_rllib.problems.vm_scheduling import rollout
            from spane_rllib.problems.vm_scheduling.networks.compiled import has_kernels

            if any(map(has_kernels, networks)):
                parts["playing"] = rollout._play_greedily
    return tuple(part for part, largest in parts.items() if not is_compiled(largest))


def compile_part(part: str) -> None:
    """Run a part on a tiny problem."""
    cluster = Cluster(servers=2)
    workload, starts, vms = Workload(synthesize(vms=2_000), cluster), np.array([0, 1]), np.array([50, 50])
    if part == "bounds":
        lower_bound.lower_bounds(workload, cluster, starts, vms)
        episodes.probe_vm_counts(workload, cluster, starts)
        return
    if part == "heuristics":
        HeuristicPolicy("fgd").play(workload, cluster, starts, vms, seed=0)
        return
    from spane_rllib.problems.vm_scheduling import rollout
    from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
    from spane_rllib.problems.vm_scheduling.networks.registry import build_network

    plain = build_network("spane", {}, cluster.servers, seed=0)
    if part == "gradients":
        from spane_rllib.learning.algorithms import DqnSettings
        from spane_rllib.learning.batch import MASK, Batch
        from spane_rllib.learning.dqn import DqnUpdate
        from spane_rllib.problems.vm_scheduling.networks.gradients import for_gradients

        observation: dict[str, Any] = {
            "servers": np.zeros((1, cluster.servers, 2, 2), np.float32),
            "request": np.zeros((1, 3), np.float32),
            MASK: np.ones((1, cluster.slots), np.int8),
        }
        nothing = np.zeros(1, np.float32)
        batch = Batch(observation, np.zeros(1, np.int64), nothing, nothing, observation)
        # Imitation asks for values and their gradients, everything else for those of the loss.
        DqnUpdate(plain, DqnSettings(), for_gradients=for_gradients).update(batch, batch)
        return
    if part == "stepping":  # as environments do, and recordings
        stepped = Lanes(workload, cluster)
        stepped.reset(0, 0, 50)
        for policy in (HeuristicPolicy("fgd"), NetworkPolicy("spane", plain)):
            stepped.step(np.array([policy.decider(stepped, 0, 0)(stepped)]))
        return
    network = CompiledQNetwork(plain)  # type: ignore[arg-type]
    if part == "playing":
        rollout.play_greedily(network, workload, cluster, starts, vms)
    else:
        random = np.random.default_rng(0)
        rollout.ExploringRollout(workload, cluster, 2).play(network, 0.0, starts, vms, random)
        rollout.HeuristicRollout(workload, cluster, 2, Heuristic("sbf")).play(starts, vms)
