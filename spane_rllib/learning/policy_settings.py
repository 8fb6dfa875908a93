"""The hyper-parameters of the policy-gradient algorithms, and all algorithms by name.

PPO: Schulman et al., Proximal Policy Optimization Algorithms, arXiv 1707.06347. A2C: Mnih et al.,
Asynchronous Methods for Deep Reinforcement Learning, arXiv 1602.01783, in its synchronous form. SAC:
Christodoulou, Soft Actor-Critic for Discrete Action Settings, arXiv 1910.07207.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import Field, model_validator

from spane_rllib.core.settings import Settings, Share
from spane_rllib.learning.schedules import StepDecay
from spane_rllib.learning.settings import RewardName, TrainingSettings


class PolicySettings(Settings):
    """What PPO, A2C and SAC have in common."""

    gradient_steps: int = Field(default=5000, ge=1, le=10_000_000, description="Gradient steps of a trial.")
    learning_rate: float = Field(default=1e-3, gt=0, le=1, description="Adam's initial learning rate.")
    learning_rate_decay: float = Field(
        default=0.95, gt=0, le=1, description="Factor on the learning rate at every decay."
    )
    learning_rate_decay_every: int = Field(
        default=100, ge=1, le=10_000_000, description="Gradient steps between decays of the learning rate."
    )
    discount: Share = Field(default=0.99, description="Discount per decision, gamma.")
    reward_scale: float = Field(
        default=0.1,
        gt=0,
        le=1_000_000,
        description="Factor on every reward in training, which keeps values near 1.",
    )
    lanes: int = Field(
        default=32, ge=1, le=4096, description="Training episodes played side by side in one iteration."
    )
    grad_clip: Annotated[float, Field(gt=0, le=1_000_000)] | None = Field(
        default=0.5, description="Largest norm of the gradient; null: no clipping."
    )
    reward: RewardName = Field(
        default="log_wait",
        description="As in `training`; `allocation` (1 per VM) or `cpu_share` where the experiment has a "
        "`scenario`.",
    )

    def learning_rate_schedule(self) -> StepDecay:
        """Learning rate by number of gradient steps made."""
        return StepDecay(self.learning_rate, self.learning_rate_decay, self.learning_rate_decay_every)


class OnPolicySettings(PolicySettings):
    """What PPO and A2C have in common."""

    gae_lambda: Share = Field(
        default=0.95,
        description="Lambda of the generalized advantage estimates (Schulman et al., arXiv 1506.02438).",
    )
    episodes_per_start: int = Field(
        default=8,
        ge=1,
        le=4096,
        description="Episodes of an iteration that begin at the same row and meet the same VMs. Rewards "
        "are relative to the mean of these episodes, a baseline that knows what arrives (Mao et al., arXiv "
        "1807.02264); 1: absolute. Must divide `lanes`.",
    )
    entropy_bonus: float = Field(default=0.003, ge=0, le=1, description="Weight of the policy's entropy.")
    value_weight: float = Field(
        default=0.5, ge=0, le=1000, description="Weight of the value's squared error."
    )

    @model_validator(mode="after")
    def _check_groups(self) -> OnPolicySettings:
        if self.lanes % self.episodes_per_start:
            raise ValueError(
                f"episodes_per_start {self.episodes_per_start} must divide lanes, which is {self.lanes}"
            )
        return self


class PpoSettings(OnPolicySettings):
    """Hyper-parameters of proximal policy optimization (PPO)."""

    epochs: int = Field(default=4, ge=1, le=1000, description="Passes over the decisions of an iteration.")
    batch_size: int = Field(default=2048, ge=1, le=1_000_000, description="Decisions per gradient step.")
    clip: float = Field(
        default=0.2,
        gt=0,
        le=100,
        description="Change of an action's probability beyond which it earns nothing.",
    )
    kl_limit: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=0.03,
        description="Kullback-Leibler divergence from the policy that played at which an iteration's "
        "gradient steps end; null: never.",
    )


class A2cSettings(OnPolicySettings):
    """Hyper-parameters of advantage actor-critic (A2C): a gradient step on all decisions of an iteration."""

    epochs: ClassVar[int] = 1
    batch_size: ClassVar[None] = None
    clip: ClassVar[None] = None
    kl_limit: ClassVar[None] = None


class SacSettings(PolicySettings):
    """Hyper-parameters of soft actor-critic (SAC) for discrete actions."""

    n_step: int = Field(default=1, ge=1, le=10_000, description="Decisions of an n-step return.")
    replay_capacity: int = Field(
        default=200_000, ge=2, le=100_000_000, description="Decisions that the replay buffer holds."
    )
    batch_size: int = Field(default=1024, ge=1, le=1_000_000, description="Decisions per gradient step.")
    warmup_episodes: int = Field(
        default=32, ge=1, le=1_000_000, description="Episodes played before the first gradient step."
    )
    episodes_per_gradient_step: float = Field(
        default=1.0, gt=0, le=1000, description="Training episodes played per gradient step."
    )
    target_update_rate: float = Field(
        default=0.005, gt=0, le=1, description="Step of the target critics towards the critics, tau."
    )
    target_entropy: Share = Field(
        default=0.1,
        description="Entropy that the temperature is learned for, as a share of that of a random choice "
        "among the feasible slots.",
    )
    initial_temperature: float = Field(
        default=0.01, gt=0, le=1000, description="Initial weight of the entropy, alpha."
    )


OnPolicy = PpoSettings | A2cSettings
AlgorithmSettings = TrainingSettings | PpoSettings | A2cSettings | SacSettings
AlgorithmName = Literal["dqn", "ppo", "a2c", "sac"]
ALGORITHM_NAMES: tuple[AlgorithmName, ...] = get_args(AlgorithmName)
ALGORITHMS: dict[AlgorithmName, type[AlgorithmSettings]] = {
    "dqn": TrainingSettings,
    "ppo": PpoSettings,
    "a2c": A2cSettings,
    "sac": SacSettings,
}
SHARED_KEYS = ("gradient_steps", "discount", "reward")
"""Keys of an experiment's `training` that hold for every algorithm; the others are those of DQN."""
