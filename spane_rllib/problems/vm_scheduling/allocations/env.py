"""The Gymnasium environment of the allocations objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from spane_rllib.datasets.vm_traces.splits import Splits
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.environments import from_keywords, known_keywords
from spane_rllib.problems.vm_scheduling.allocations.instance import AllocationInstance
from spane_rllib.problems.vm_scheduling.allocations.rewards import RewardFunction
from spane_rllib.problems.vm_scheduling.allocations.scenario import AllocationScenario
from spane_rllib.problems.vm_scheduling.slot_env import SlotEnv


class AllocationEnv(SlotEnv):
    """
    ## Description

    Virtual machines (VMs) of a trace are created one after the other on a cluster of servers with two NUMA
    nodes each; the agent chooses where each is placed. Nobody waits: the episode ends with the first VM that
    fits nowhere, and the aim is to place as many VMs as possible until then. What the servers are, which VMs
    are split in halves over both nodes of a server ("double"), whether deleted VMs give back what they used
    and whether servers are added is said by a scenario: `fading`, `recovering`, `recovering-l`, `expanding`,
    or a YAML file.

    ## Action Space

    `Discrete(2 * max_servers)`: the slot for the VM at hand, which is node `action % 2` of server
    `action // 2`. For a double VM both slots of a server mean the same. Only slots with a 1 in `action_mask`
    may be chosen; `env.action_space.sample(mask=observation["action_mask"])` draws one.

    ## Observation Space

    A `Dict` of new arrays, which no later step changes:

    | Key           | Shape               | Type    | Range  | Meaning                                      |
    |---------------|---------------------|---------|--------|----------------------------------------------|
    | `servers`     | (max_servers, 2, 2) | float32 | 0 to 1 | free, by server, node and (cpu, memory)      |
    | `request`     | (3,)                | float32 | 0 to 2 | cpu and memory of the VM, 1 if it is double  |
    | `action_mask` | (2 * max_servers,)  | int8    | 0 or 1 | 1 where the VM fits                          |

    Free resources and `request` are shares of *one* node, the largest where servers differ: an empty node of
    half that size shows 0.5, so what fits where can be read off. A double VM can need up to 2. Servers that
    are not there yet have nothing free and are masked. After the end of an episode `request` and
    `action_mask` are 0.

    ## Rewards

    By default 1 for every VM placed; `reward="cpu_share"` rewards its cores as a share of the largest
    server's. A function of the form that `allocations.rewards` describes can be given instead of a name.

    ## Starting State

    Empty servers at the creation of the VM in row `start` of the trace, drawn uniformly from the split;
    deletions of earlier VMs have no effect. `reset(options={"start": row, "max_decisions": count})` sets
    either or both.

    ## Episode End

    - Termination: the next VM fits nowhere, or it is the last row of the trace, which is never placed.
    - Truncation: `max_decisions` VMs are placed.
    - An infeasible action raises `InfeasibleAction` and changes nothing or, with
      `infeasible_action="terminate"`, terminates the episode with reward 0.
      With "first_fit" the lowest slot with room is taken in its place.

    ## Info

    | Key                       | Meaning                                                                    |
    |---------------------------|----------------------------------------------------------------------------|
    | `time`                    | trace time of the decision at hand, seconds                                |
    | `vm`                      | row of the VM at hand; at the end the row behind the last VM placed        |
    | `allocations`             | VMs placed so far                                                          |
    | `servers`, `expansions`   | servers there are, how often some were added                               |
    | `server_hours`            | hours that servers were there so far, summed over servers                  |
    | `cpu_rate`, `memory_rate` | used share of the cluster when the episode has ended, 0 before             |
    | `start`, `max_decisions`  | first row of the episode, most VMs it can have                             |

    ## Arguments

    - `scenario`: a preset, the path of a YAML file, its keys as a dictionary, or an `AllocationScenario`.
    - `servers`: servers at the start, instead of those of a scenario with one server group.
    - `trace`: a `VmTrace`, or what `traces.loading.load_trace` takes: a path, "synthetic", None for "auto".
      VMs of a file that are never deleted are kept.
    - `split`: "train", "validation" or "test": where episodes start.
    - `splits`: the rows of the splits, as `Splits` or as {"train": [first, behind last], ...}; None for the
      splits of the trace.
    - `reward`: a name in `allocations.rewards.REWARDS` or a function.
    - `infeasible_action`: what one does, "error", "terminate", or "first_fit" (the lowest slot with room is
      taken instead).
    - `render_mode`: None, or "rgb_array": `render()` draws servers and load as the viewer's animations do.

    Values that are not allowed raise `UserError`.

    ## Version History

    - v0: first version.

    ## References

    - VMAgent, https://arxiv.org/abs/2112.04785: the scenarios, the reward and the episodes.
    """

    @known_keywords
    def __init__(
        self,
        scenario: AllocationScenario | Mapping[str, Any] | str | PathLike[str] = "fading",
        servers: int | None = None,
        trace: VmTrace | str | PathLike[str] | None = None,
        split: str = "train",
        splits: Splits | Mapping[str, Sequence[int]] | None = None,
        reward: str | RewardFunction = "allocation",
        infeasible_action: str = "error",
        render_mode: str | None = None,
    ) -> None:
        instance = AllocationInstance(
            scenario=scenario,
            servers=servers,
            trace=trace,
            split=split,
            splits=splits,
            reward=reward,
            infeasible_action=infeasible_action,
        )
        super().__init__(instance, render_mode)


def create_env(config: Mapping[str, Any]) -> AllocationEnv:
    """The environment from a dictionary of its keywords, such as RLlib's `EnvContext`.

    Raises:
        UserError: an unknown key, or a value that is not allowed.
    """
    return from_keywords(AllocationEnv, config)
