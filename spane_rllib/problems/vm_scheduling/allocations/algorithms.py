"""The hyper-parameters of the algorithms where VMs are placed until one fits nowhere."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from spane_rllib.core.settings import Settings, placed
from spane_rllib.learning import algorithms
from spane_rllib.problems.vm_scheduling.algorithms import SlotDqnSettings

RewardName = Literal["allocation", "cpu_share"]


class _Reward(BaseModel):
    reward: RewardName = Field(
        default="allocation",
        description="Per decision: `allocation` = 1, `cpu_share` = cores of the VM as a share of the largest "
        "server's.",
    )


@placed(reward="grad_clip")
class DqnSettings(SlotDqnSettings, _Reward):
    """Hyper-parameters of the deep Q-network (DQN)."""


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
