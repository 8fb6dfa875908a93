"""The hyper-parameters of a training run.

Defaults called "reference" are those of the published SPANE code and its stored winning models (arXiv
2504.14946).
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from spane_rllib.core.settings import Settings, Share
from spane_rllib.learning.schedules import LinearSchedule, StepDecay
from spane_rllib.problems.vm_scheduling.heuristic_names import HeuristicName

MIN_EPISODE_VMS = 41
"""VMs of the shortest episode: it runs 40 VMs past the first that First Fit cannot place."""


RewardName = Literal["log_wait", "log_wait_hours", "balance", "wait", "allocation", "cpu_share"]
ALLOCATION_REWARDS = ("allocation", "cpu_share")


class TrainingSettings(Settings):
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
    reward: RewardName = Field(
        default="log_wait",
        description="Per decision: `log_wait` = -log(1 + wait in seconds) (reference), `log_wait_hours` = "
        "-log(1 + wait in hours), `wait` = -wait in hours, `balance` = `log_wait` less the imbalance between "
        "the two NUMA nodes of a server. With a `scenario`: `allocation` = 1, `cpu_share` = cores of the VM "
        "as a share of the largest server's.",
    )
    reward_scale: float = Field(
        default=1.0, gt=0, le=1_000_000, description="Factor on every reward in training (reference: 1)."
    )
    reward_baseline: HeuristicName | None = Field(
        default=None,
        description="Heuristic whose reward for the same VM, in an episode of its own from the same start, "
        "is subtracted from each reward: less variance, the same best policy; null: none (reference).",
    )
    imitate: HeuristicName | None = Field(
        default=None,
        description="Heuristic whose decisions the network first learns; null: starts untrained (reference).",
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
    weight_averaging: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="Decay per gradient step of the exponential average of the weights that is validated and "
        "kept in place of the latest weights; 0: none (reference).",
    )
    augmentation_permutations: int = Field(
        default=0,
        ge=0,
        le=120,
        description="Server orders that replayed decisions are shuffled by; 0: none, else 2 to 120.",
    )

    @model_validator(mode="after")
    def _check_combination(self) -> TrainingSettings:
        if self.epsilon_final > self.epsilon_initial:
            raise ValueError(
                f"epsilon_final {self.epsilon_final} exceeds epsilon_initial {self.epsilon_initial}"
            )
        for key in ("batch_size", "n_step"):
            if getattr(self, key) > self.replay_capacity:
                raise ValueError(f"{key} {getattr(self, key)} exceeds replay_capacity {self.replay_capacity}")
        if self.warmup_episodes * MIN_EPISODE_VMS > self.replay_capacity:
            raise ValueError(
                f"{self.warmup_episodes} warmup_episodes of at least {MIN_EPISODE_VMS} decisions "
                f"do not fit into replay_capacity {self.replay_capacity}"
            )
        if self.reward in ALLOCATION_REWARDS and (self.imitate or self.reward_baseline):
            raise ValueError(
                f"imitate and reward_baseline are for waits; set them to null with reward {self.reward}"
            )
        if self.imitation_weight and not self.imitate:
            raise ValueError("imitation_weight needs a heuristic to imitate; set imitate, or the weight to 0")
        if self.augmentation_permutations == 1:
            raise ValueError(
                "augmentation_permutations must be 0 (none) or 2 to 120: one order changes nothing"
            )
        return self

    def epsilon_schedule(self) -> LinearSchedule:
        """Probability of a random action by number of gradient steps made."""
        steps = self.gradient_steps if self.epsilon_decay_steps is None else self.epsilon_decay_steps
        return LinearSchedule(self.epsilon_initial, self.epsilon_final, steps)

    def learning_rate_schedule(self) -> StepDecay:
        """Learning rate by number of gradient steps made."""
        return StepDecay(self.learning_rate, self.learning_rate_decay, self.learning_rate_decay_every)
