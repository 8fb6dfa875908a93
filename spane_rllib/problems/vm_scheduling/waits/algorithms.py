"""The hyper-parameters of the algorithms where VMs wait."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field, model_validator

from spane_rllib.core.settings import Settings, placed
from spane_rllib.learning import algorithms
from spane_rllib.problems.vm_scheduling.algorithms import SlotDqnSettings
from spane_rllib.problems.vm_scheduling.heuristic_names import HeuristicName

MIN_EPISODE_VMS = 41
"""VMs of the shortest episode: it runs 40 VMs past the first that First Fit cannot place."""

RewardName = Literal["log_wait", "log_wait_hours", "balance", "wait", "fairness"]


class _Reward(BaseModel):
    reward: RewardName = Field(
        default="log_wait",
        description="Per decision: `log_wait` = -log(1 + wait in seconds) (reference), `log_wait_hours` = "
        "-log(1 + wait in hours), `wait` = -wait in hours, `fairness` = `wait` less the square of the hours: "
        "long waits count most, `balance` = `log_wait` less the imbalance between the two NUMA nodes of a "
        "server.",
    )


@placed(
    reward="grad_clip",
    reward_baseline="reward_scale",
    imitate="reward_baseline",
    imitation_steps="imitate",
    imitation_decisions="imitation_steps",
    imitation_weight="imitation_decisions",
    augmentation_permutations="weight_averaging",
)
class DqnSettings(SlotDqnSettings, algorithms.ImitatingDqnSettings, _Reward):
    """Hyper-parameters of the deep Q-network (DQN)."""

    reward_baseline: HeuristicName | None = Field(
        default=None,
        description="Heuristic whose reward for the same VM, in an episode of its own from the same start, "
        "is subtracted from each reward: less variance, the same best policy; null: none (reference).",
    )
    imitate: HeuristicName | None = Field(
        default=None,
        description="Heuristic whose decisions the network first learns; null: starts untrained (reference).",
    )

    @model_validator(mode="after")
    def _check_warmup(self) -> DqnSettings:
        if self.warmup_episodes * MIN_EPISODE_VMS > self.replay_capacity:
            raise ValueError(
                f"{self.warmup_episodes} warmup_episodes of at least {MIN_EPISODE_VMS} decisions "
                f"do not fit into replay_capacity {self.replay_capacity}"
            )
        return self


@placed(reward="grad_clip")
class PpoSettings(algorithms.PpoSettings, _Reward):
    """Hyper-parameters of proximal policy optimization (PPO)."""


@placed(reward="grad_clip")
class A2cSettings(algorithms.A2cSettings, _Reward):
    """Hyper-parameters of advantage actor-critic (A2C): a gradient step on all decisions of an iteration."""


@placed(reward="grad_clip")
class SacSettings(algorithms.SacSettings, _Reward):
    """Hyper-parameters of soft actor-critic (SAC) for discrete actions."""


AlgorithmSettings = DqnSettings | PpoSettings | A2cSettings | SacSettings
ALGORITHMS: dict[str, type[Settings]] = {
    "dqn": DqnSettings,
    "ppo": PpoSettings,
    "a2c": A2cSettings,
    "sac": SacSettings,
}
