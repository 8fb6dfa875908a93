"""The Gymnasium environment of VM scheduling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from spane_rllib.datasets.vm_traces.splits import Splits
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.environments import from_keywords, known_keywords
from spane_rllib.problems.vm_scheduling.lifetimes import UNKNOWN
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO
from spane_rllib.problems.vm_scheduling.reference_cluster import (
    DOUBLE_MEMORY_THRESHOLD,
    NODE_CPU,
    NODE_MEMORY,
    SERVERS,
)
from spane_rllib.problems.vm_scheduling.simulator.episodes import EXTRA_VMS
from spane_rllib.problems.vm_scheduling.slot_env import SlotEnv
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
from spane_rllib.problems.vm_scheduling.waits.rewards import RewardFunction


class VMSchedulingEnv(SlotEnv):
    """
    ## Description

    Virtual machines (VMs) of a trace arrive at a cluster of identical servers with two NUMA nodes each. They
    are served strictly first come, first served: the VM at the head of the queue is placed as soon as it fits
    anywhere, and the agent chooses where. A VM that fits nowhere blocks all others until running VMs end.
    There is no migration and no preemption. The aim is that VMs wait as little as possible. Lifetimes, the
    clock and the queue behind the head are not observed.

    With another `queue`, such as "skip", VMs may pass one that fits nowhere. Which VM is placed next is up to
    the discipline, and "the VM at the head" below is that one; the agent still chooses where.

    A VM with more memory than `double_memory_threshold` is "double": half of its cpu and half of its memory
    lie on each of the two nodes of one server. Any other VM lies wholly on one node.

    With `server_groups` servers differ and have 1 to 8 nodes. One of more than two nodes counts as several
    servers below, one for each pair of neighbours; a node without neighbour has one that holds nothing.

    ## Action Space

    `Discrete(2 * servers)`: the slot for the VM at the head of the queue, which is node `action % 2` of
    server `action // 2`. For a double VM both slots of a server mean the same. Only slots with a 1 in
    `action_mask` may be chosen; `env.action_space.sample(mask=observation["action_mask"])` draws one.

    ## Observation Space

    A `Dict` of new arrays, which no later step changes:

    | Key           | Shape           | Type    | Range  | Meaning                                           |
    |---------------|-----------------|---------|--------|---------------------------------------------------|
    | `servers`     | (servers, 2, 2) | float32 | 0 to 1 | free share by server, node and (cpu, memory)      |
    | `request`     | (3,)            | float32 | 0 to 2 | cpu and memory of the head VM, 1 if it is double  |
    | `action_mask` | (2 * servers,)  | int8    | 0 or 1 | 1 where the head VM fits and may be placed        |

    With `lifetimes` other than "unknown" there are two keys more, of what is known; both log(1 + seconds):

    | Key        | Shape        | Type    | Range  | Meaning                                                |
    |------------|--------------|---------|--------|--------------------------------------------------------|
    | `lifetime` | (1,)         | float32 | 0 up   | lifetime of the head VM                                |
    | `busy`     | (servers, 2) | float32 | 0 up   | until the last VM of the node is expected to end       |

    Where servers differ, `servers` is (servers, 2, 4): free cpu and memory of the node, then cpu and memory
    of the whole node; all of them, and `request`, are shares of the largest node.

    `request` counts the whole VM in shares of *one* node, so that a double VM can need up to 2. After the end
    of an episode `request` and `action_mask` are 0.

    ## Rewards

    By default `-log(1 + wait)` of the VM just placed, wait in seconds; `reward` chooses another one of
    `rewards.REWARDS`. The sum of the default is the return that the simulator reports.

    ## Starting State

    Empty servers at the arrival of the VM in row `start` of the trace. `start` is drawn uniformly from the
    split, and the episode has as many VMs as First Fit places before one fits nowhere, plus `extra_vms`.
    `reset(options={"start": row, "vm_count": count})` sets either or both.

    ## Episode End

    - Termination: all VMs of the episode are placed (the last row of the trace is never placed).
    - Truncation: no VM can be placed and nothing that runs ever ends, which needs a trace with VMs that never
      end.
    - An infeasible action raises `InfeasibleAction` and changes nothing or, with
      `infeasible_action="terminate"`, terminates the episode. Its reward then is that of a wait of 30 days
      (`scenario.UNPLACED_WAIT`) for every VM not placed, so ending early does not pay.
      With "first_fit" the lowest slot with room is taken in its place.

    ## Info

    | Key                      | Meaning                                                                     |
    |--------------------------|-----------------------------------------------------------------------------|
    | `wait`                   | wait of the VM just placed, seconds (0 after `reset`)                       |
    | `time`                   | trace time of the decision at hand, seconds                                 |
    | `vm`                     | row of the VM at the head; at the end the row behind those of the episode   |
    | `placed`                 | VMs placed so far                                                           |
    | `total_wait`, `max_wait` | of the VMs placed so far, seconds                                           |
    | `start`, `vm_count`      | first row of the episode, number of its VMs (cut at the end of the trace)   |

    ## Arguments

    - `trace`: a `VmTrace`, or what `traces.loading.load_trace` takes: a path, "synthetic", None for "auto".
    - `servers`: number of servers.
    - `node_cpu`, `node_memory`: cores and GiB of one NUMA node.
    - `double_memory_threshold`: GiB above which a VM is double.
    - `server_groups`: servers that differ, in place of `servers`, `node_cpu` and `node_memory`: a list of
      {"count": servers, "node_cpu": cores, "node_memory": GiB, "nodes": 1 to 8 of a server, 2 by default};
      docs/vm_scheduling_env.md has the rules.
    - `split`: "train", "validation" or "test": where episodes start.
    - `splits`: the rows of the splits, as `Splits` or as {"train": [first, behind last], ...}; None for the
      splits of the trace.
    - `reward`: a name in `rewards.REWARDS` or a function of that module's form.
    - `infeasible_action`: what one does, "error", "terminate", or "first_fit" (the lowest slot with room is
      taken instead).
    - `extra_vms`: VMs of an episode beyond First Fit's run length.
    - `queue`: the queue discipline: "fifo", "skip", "skip:DEPTH", "easy", "conservative", "aged:SECONDS",
      "smallest", "largest" or "hold"; docs/queue_disciplines.md has their rules.
    - `lifetimes`: what is known when a VM arrives: "unknown", "predicted:NOISE" (0.5: a typical error of 50%)
      or "known"; see docs/knowing_more.md. Estimates of "easy" and "conservative" are these, or the truth.
    - `render_mode`: None, or "rgb_array": `render()` draws servers and load as the viewer's animations do.

    Values that are not allowed raise `UserError`.

    ## Version History

    - v0: first version.

    ## References

    - SPANE, https://arxiv.org/abs/2504.14946: the problem, the reward and the episodes.
    - VM placement dataset of Huawei Cloud: https://github.com/huaweicloud/VM-placement-dataset
    """

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
        infeasible_action: str = "error",
        extra_vms: int = EXTRA_VMS,
        queue: str = FIFO.text,
        lifetimes: str = UNKNOWN.text,
        render_mode: str | None = None,
    ) -> None:
        instance = WaitInstance(
            trace=trace,
            servers=servers,
            node_cpu=node_cpu,
            node_memory=node_memory,
            double_memory_threshold=double_memory_threshold,
            server_groups=server_groups,
            split=split,
            splits=splits,
            reward=reward,
            infeasible_action=infeasible_action,
            extra_vms=extra_vms,
            queue=queue,
            lifetimes=lifetimes,
        )
        super().__init__(instance, render_mode)


def create_env(config: Mapping[str, Any]) -> VMSchedulingEnv:
    """The environment from a dictionary of its keywords, such as RLlib's `EnvContext`.

    Raises:
        UserError: an unknown key, or a value that is not allowed.
    """
    return from_keywords(VMSchedulingEnv, config)
