"""The hyper-parameters of the algorithms. A problem adds its own, such as the names of its rewards.

DQN: Mnih et al., Human-level control through deep reinforcement learning, Nature 2015. PPO: Schulman et al.,
Proximal Policy Optimization Algorithms, arXiv 1707.06347. A2C: Mnih et al., Asynchronous Methods for Deep
Reinforcement Learning, arXiv 1602.01783, in its synchronous form. SAC: Christodoulou, Soft Actor-Critic for
Discrete Action Settings, arXiv 1910.07207. Defaults called "reference" are those of the published SPANE code
and its stored winning models (arXiv 2504.14946).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from spane_rllib.core.settings import Settings, Share
from spane_rllib.learning.schedules import LinearSchedule, StepDecay


class DqnSettings(Settings):
    """Hyper-parameters of the deep Q-network (DQN)."""

    gradient_steps: int = Field(
        default=5000, ge=1, le=10_000_000, description="Gradient steps of a trial (reference: 5000)."
    )
    learning_rate: float = Field(
        default=0.01, gt=0, le=1, description="Adam's initial learning rate (reference: 0.01)."
    )
    learning_rate_decay: float = Field(
        default=0.99, gt=0, le=1, description="Factor on the learning rate at every decay (reference: 0.99)."
    )
    learning_rate_decay_every: int = Field(
        default=100,
        ge=1,
        le=10_000_000,
        description="Gradient steps between decays of the learning rate (reference: 100).",
    )
    learning_rate_restart_every: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="Gradient steps after which the learning rate is the initial one again; null: never.",
    )
    weight_decay: float = Field(default=1e-8, ge=0, le=1, description="Adam's L2 penalty (reference: 1e-8).")
    discount: float = Field(
        default=0.95, ge=0, le=1, description="Discount per decision, gamma (reference: 0.95)."
    )
    n_step: int = Field(
        default=50, ge=1, le=10_000, description="Decisions of an n-step return (reference: 50)."
    )
    replay_capacity: int = Field(
        default=100_000,
        ge=2,
        le=100_000_000,
        description="Decisions that the replay buffer holds (reference: 100000).",
    )
    batch_size: int = Field(
        default=1024, ge=1, le=1_000_000, description="Decisions per gradient step (reference: 1024)."
    )
    target_sync_every: int = Field(
        default=100,
        ge=1,
        le=10_000_000,
        description="Gradient steps between copies to the target network (reference: 100).",
    )
    epsilon_initial: Share = Field(
        default=0.6, description="Share of random actions at the start, falling linearly (reference: 0.6)."
    )
    epsilon_final: Share = Field(
        default=0.0, description="Share of random actions after the decay (reference: 0)."
    )
    epsilon_decay_steps: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None, description="Gradient steps until `epsilon_final`; null: all of them (reference)."
    )
    warmup_episodes: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Episodes played before the first gradient step (reference: 100).",
    )
    episodes_per_gradient_step: float = Field(
        default=1.0, gt=0, le=1000, description="Training episodes played per gradient step (reference: 1)."
    )
    lanes: int = Field(
        default=16,
        ge=1,
        le=4096,
        description="Training episodes played side by side, one decision each in turn (reference: 1).",
    )
    double_q: bool = Field(
        default=True, description="Double DQN: the online network picks the next action (reference: true)."
    )
    mask_bootstrap: bool = Field(
        default=True,
        description="Only feasible next actions count in the target; the reference leaves this out.",
    )
    loss: Literal["mse", "huber"] = Field(
        default="mse", description="Loss on the temporal-difference error (reference: mse)."
    )
    grad_clip: Annotated[float, Field(gt=0, le=1_000_000)] | None = Field(
        default=None, description="Largest norm of the gradient; null: no clipping (reference)."
    )
    reward_scale: float = Field(
        default=1.0, gt=0, le=1_000_000, description="Factor on every reward in training (reference: 1)."
    )
    weight_averaging: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Decay per gradient step of the exponential average of the weights that is validated and "
        "kept in place of the latest weights; 0: none (reference).",
    )

    compiled_gradients: bool = Field(
        default=True,
        description="Compute gradient steps by compiled code where there is some (`spane` on a CPU), several "
        "times as fast; false: by torch. Equal up to rounding, which long trainings magnify.",
    )

    @model_validator(mode="after")
    def _check_combination(self) -> DqnSettings:
        if self.epsilon_final > self.epsilon_initial:
            raise ValueError(
                f"epsilon_final {self.epsilon_final} exceeds epsilon_initial {self.epsilon_initial}"
            )
        for key in ("batch_size", "n_step"):
            if getattr(self, key) > self.replay_capacity:
                raise ValueError(f"{key} {getattr(self, key)} exceeds replay_capacity {self.replay_capacity}")
        return self

    def epsilon_schedule(self) -> LinearSchedule:
        """Probability of a random action by number of gradient steps made."""
        steps = self.gradient_steps if self.epsilon_decay_steps is None else self.epsilon_decay_steps
        return LinearSchedule(self.epsilon_initial, self.epsilon_final, steps)

    def learning_rate_schedule(self) -> StepDecay:
        """Learning rate by number of gradient steps made."""
        return StepDecay(
            self.learning_rate,
            self.learning_rate_decay,
            self.learning_rate_decay_every,
            self.learning_rate_restart_every,
        )


class ImitatingDqnSettings(DqnSettings):
    """DQN with a warm start: the network first learns the decisions of a baseline of the problem."""

    imitate: str | None = Field(
        default=None,
        description="Baseline whose decisions the network first learns; null: starts untrained.",
    )
    imitation_steps: int = Field(
        default=1500, ge=1, le=1_000_000, description="Gradient steps of the imitation."
    )
    imitation_decisions: int = Field(
        default=150_000, ge=1, le=10_000_000, description="The heuristic's decisions that are learned from."
    )
    imitation_weight: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="Weight of the imitation's cross-entropy in the loss of every later gradient step, which "
        "keeps the network near the heuristic; 0: only a warm start.",
    )

    @model_validator(mode="after")
    def _check_imitation(self) -> ImitatingDqnSettings:
        if self.imitation_weight and not self.imitate:
            raise ValueError("imitation_weight needs a heuristic to imitate; set imitate, or the weight to 0")
        return self


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
    learning_rate_restart_every: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="Gradient steps after which the learning rate is the initial one again; null: never.",
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

    def learning_rate_schedule(self) -> StepDecay:
        """Learning rate by number of gradient steps made."""
        return StepDecay(
            self.learning_rate,
            self.learning_rate_decay,
            self.learning_rate_decay_every,
            self.learning_rate_restart_every,
        )


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
        description="Episodes of an iteration that have the same start and meet the same arrivals. Rewards "
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
        "among the feasible actions.",
    )
    initial_temperature: float = Field(
        default=0.01, gt=0, le=1000, description="Initial weight of the entropy, alpha."
    )


OnPolicy = PpoSettings | A2cSettings
AlgorithmSettings = DqnSettings | PpoSettings | A2cSettings | SacSettings
