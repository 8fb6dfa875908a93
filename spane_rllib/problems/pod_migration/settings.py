"""What is played: keys at the top level of a configuration, and keywords of the environments."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Strict, model_validator

from spane_rllib.core.settings import Interval, PathText, Settings, Share, distinct
from spane_rllib.learning.algorithms import DqnSettings, PpoSettings
from spane_rllib.problems.problem import EpisodeCount, EpisodeSettings, ValidationSettings

Weight = Annotated[float, Field(ge=0, le=1_000_000)]
Whole = Annotated[int, Field(ge=1, le=1_000_000)]


class WeightSettings(Settings):
    """What a window costs. Defaults: reference."""

    overload: Weight = Field(default=0.6, description="Of the share of overloaded node-slots.")
    underload: Weight = Field(default=0.4, description="Of the share of underloaded node-slots.")
    unsatisfied: Weight = Field(
        default=1.0, description="Of pods that are given less than they ask for, per node-slot."
    )
    moved: Weight = Field(default=0.01, description="Of the CPU and memory of moved pods, per node.")
    imbalance: Weight = Field(
        default=0.0, description="Of the difference of CPU and memory utilisation (not in the reference)."
    )


class SplitSettings(Settings):
    """Disjoint half-open shares of the windows of the trace."""

    train: Interval = Field(default=(0.0, 0.5), description="Windows of training episodes, [from, to).")
    validation: Interval = Field(default=(0.5, 0.6), description="Windows of validation, [from, to).")
    test: Interval = Field(default=(0.6, 1.0), description="Windows that are held out, [from, to).")

    @model_validator(mode="after")
    def _check_disjoint(self) -> SplitSettings:
        parts = sorted((getattr(self, name), name) for name in SplitSettings.model_fields)
        for (before, first), (after, second) in pairwise(parts):
            if after[0] < before[1]:
                raise ValueError(f"{first} {list(before)} and {second} {list(after)} overlap")
        return self


class PodSettings(Settings):
    """Demand, cluster, and how windows are played. Defaults: reference, where it says something."""

    trace: PathText = Field(
        default="auto",
        description="VM trace whose creations are the requests: `auto` (the environment variable "
        "SPANE_RLLIB_DATA where set, else synthetic), `synthetic`, `synthetic:vms=N,seed=S`, or a path.",
    )
    cluster: PathText = Field(
        default="published",
        description="`published` (10 nodes of 100 / 100, 50 pods of 5 / 5), `published-96` (96 nodes, 100 "
        "pods), a YAML file, or the JSON of `kubectl get nodes,pods -A -o json`.",
    )
    window_s: float = Field(default=300.0, gt=0, le=1e7, description="Length of a window, seconds.")
    horizon: Whole = Field(default=288, description="Windows of an episode: a day.")
    moves: Whole = Field(default=4, description="Moves before a window at most (the reference has no limit).")
    max_pods_per_node: Whole = Field(default=100, description="Pods on a node at most.")
    resource_model: Literal["serial", "parallel"] = Field(
        default="serial",
        description="Whether a pod works on its requests one after the other, or on all at a time.",
    )
    allocation: Literal["proportional", "sjf"] = Field(
        default="proportional", description="How pods share a node: in proportion, or smallest first."
    )
    carry_over: bool = Field(default=False, description="Whether requests stay with their pod for ever.")
    overload: Share = Field(default=0.8, description="Load above which a node is overloaded, of capacity.")
    underload: Share = Field(default=0.2, description="Load below which a node is underloaded.")
    demand_scale: float = Field(
        default=1.0, gt=0, le=1_000_000, description="Factor on the cores and GiB of requests."
    )
    weights: WeightSettings = Field(default_factory=WeightSettings, description="Of the parts of the reward.")
    compat: bool = Field(
        default=False,
        description="The reward of the unfinished reference, not divided by slots or nodes. Needs "
        "resource_model parallel, allocation sjf and carry_over, which are its rules.",
    )
    splits: SplitSettings = Field(
        default_factory=SplitSettings, description="Which windows are trained on, and which are held out."
    )

    @model_validator(mode="after")
    def _check(self) -> PodSettings:
        if self.underload >= self.overload:
            raise ValueError(f"underload {self.underload} is not below overload {self.overload}")
        rules = (self.resource_model, self.allocation, self.carry_over)
        if self.compat and rules != ("parallel", "sjf", True):
            raise ValueError("compat: needs resource_model parallel, allocation sjf and carry_over true")
        return self


class PodValidationSettings(ValidationSettings):
    """Stretches of windows that choose the best weights of a trial and the best trials of a method."""

    episodes: int = Field(default=3, ge=1, le=100_000, description="Days (stretches of `horizon` windows).")
    every: int = Field(default=20, ge=1, le=10_000_000, description="Gradient steps between validations.")


class PodEvaluationSettings(EpisodeSettings):
    """What policies play in the final comparison."""

    split: Literal["train", "validation", "test"] = Field(
        default="test", description="Part of the trace that is played."
    )
    episodes: EpisodeCount = Field(
        default="all", description="Disjoint stretches of `horizon` windows; `all`: every one there is."
    )
    heuristics: Annotated[tuple[str, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=("no-op", "threshold-greedy", "descheduler"), description="Baselines to compare with."
    )


class WindowTraining(Settings):
    """How the windows of training episodes are rewarded, whatever learns from them."""

    resampled_windows: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Training windows, drawn anew before each window, whose reward is averaged with that of "
        "the window itself; demand depends on no policy, so this only takes out noise. 0: the window alone.",
    )
    training_horizon: Whole | None = Field(
        default=None, description="Windows of a training episode; null: as many as of any other (`horizon`)."
    )
    shaping: float = Field(
        default=0.0,
        ge=0,
        le=1_000_000,
        description="Windows for which a change of the mean reward of training windows, which a move makes, "
        "counts at once: potential-based shaping (Ng et al., ICML 1999), which leaves the best policy as it "
        "is. 0: none.",
    )
    migration_factor: float = Field(
        default=1.0,
        ge=0,
        le=1_000_000,
        description="Factor on the cost of moves in training and in validation, not in evaluation: methods "
        "that differ in it trade violations for migrations differently.",
    )


class PodPpoSettings(WindowTraining, PpoSettings):
    """Hyper-parameters of proximal policy optimization (PPO)."""


class PodDqnSettings(WindowTraining, DqnSettings):
    """Hyper-parameters of the deep Q-network (DQN)."""


class PodNetworkOptions(Settings):
    """Options of the network `equivariant`."""

    width: int = Field(default=32, ge=1, le=1024, description="Units of the hidden layers.")
    stop_share: Share | None = Field(
        default=0.5,
        description="Probability of stop from which a policy of PPO stops when it plays; otherwise it makes "
        "the likeliest move. null: the best action, which DQN needs.",
    )


NETWORKS: dict[str, type[Settings]] = {"equivariant": PodNetworkOptions}
"""Options by kind of network."""
