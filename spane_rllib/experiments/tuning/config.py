"""The typed configuration of the main job, `python -m spane_rllib.tune`.

One experiment: train the trials of each method, keep the best by validation, evaluate these and heuristics on
unseen episodes. Defaults called "reference" are those of the published SPANE code and its stored winning
models (arXiv 2504.14946). Sections validate on construction and raise `pydantic.ValidationError`;
`loading.load_experiment` turns that into a one-line `UserError`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    Field,
    Strict,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)

from spane_rllib.core.settings import Interval, Name, PathText, Seed, Settings, distinct
from spane_rllib.experiments.tuning.search_space import Distribution, validate_search_space, written
from spane_rllib.learning.policy_settings import ALGORITHMS, AlgorithmName
from spane_rllib.learning.settings import ALLOCATION_REWARDS, TrainingSettings
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS, HeuristicName
from spane_rllib.problems.vm_scheduling.networks.options import MAX_MLP_SERVERS, NETWORK_OPTIONS, NetworkKind

MAX_TRIALS = 10_000
"""Trials of one experiment; more is a slip in a grid rather than a plan."""


ServerCount = Annotated[int, Field(ge=1, le=10_000)]
ServerCounts = Annotated[
    tuple[ServerCount, ...], Strict(False), Field(min_length=1), AfterValidator(distinct)
]


class TraceSettings(Settings):
    """Which VM trace the experiment runs on."""

    source: PathText = Field(
        default="auto",
        description="`auto` (the environment variable SPANE_RLLIB_DATA where set, else a synthetic trace), "
        "`synthetic`, or the path of a trace file or of a folder that holds one known dataset.",
    )
    synthetic_vms: int = Field(
        default=120_000, ge=100, le=10_000_000, description="VMs in a synthetic trace."
    )
    synthetic_seed: Seed = Field(default=0, description="Seed of a synthetic trace.")
    never_ending: Literal["drop", "keep"] = Field(
        default="drop", description="VMs without a deletion: leave them out, or let them run for ever."
    )
    skip_invalid: bool = Field(
        default=False, description="Skip and count invalid rows of a trace file, not stop at one."
    )


class ClusterSettings(Settings):
    """The cluster trained on: equal servers of two NUMA nodes each. Defaults: reference."""

    servers: ServerCount = Field(default=5, description="Servers.")
    node_cpu: float = Field(default=40.0, gt=0, le=1_000_000, description="CPU cores of one NUMA node.")
    node_memory: float = Field(default=90.0, gt=0, le=1_000_000, description="Memory of one NUMA node, GiB.")
    double_memory_threshold: float = Field(
        default=10.0,
        ge=0,
        le=1_000_000,
        description="A VM with more memory than this, GiB, is split over both nodes of a server.",
    )


class SplitSettings(Settings):
    """Where episodes start: disjoint half-open shares of the trace's rows, in order of arrival."""

    train: Interval = Field(default=(0.0, 0.43), description="Starts of training episodes, [from, to).")
    validation: Interval = Field(
        default=(0.43, 0.6), description="Starts of validation episodes, [from, to)."
    )
    test: Interval = Field(default=(0.6, 0.945), description="Starts of test episodes, [from, to).")

    @model_validator(mode="after")
    def _check_disjoint(self) -> SplitSettings:
        parts = sorted((getattr(self, name), name) for name in SplitSettings.model_fields)
        for (before, first), (after, second) in pairwise(parts):
            if after[0] < before[1]:
                raise ValueError(f"{first} {list(before)} and {second} {list(after)} overlap")
        return self


class ValidationSettings(Settings):
    """Episodes that choose the best weights of a trial and the best trials of a method."""

    episodes: int = Field(default=150, ge=1, le=100_000, description="Validation episodes (reference: 150).")
    every: int = Field(
        default=250,
        ge=1,
        le=10_000_000,
        description="Gradient steps between validations (reference: 250).",
    )
    trim: float = Field(
        default=0.1,
        ge=0,
        lt=0.5,
        description="Share of episodes dropped at each end of the mean total wait (reference: 0.1).",
    )
    seed: Seed = Field(default=0, description="Seed of the drawn validation starts; the same for all trials.")


class MethodSettings(Settings):
    """One method of the comparison: a network and the search over its settings."""

    network: NetworkKind = Field(description="`spane` (equal servers are exchangeable) or `mlp`.")
    algorithm: AlgorithmName = Field(
        default="dqn", description="What trains it; all but `dqn` are policy gradients."
    )
    trials: int = Field(
        default=1,
        ge=1,
        le=MAX_TRIALS,
        description="Random samples of the searched keys, for each combination of the grids.",
    )
    seeds: int = Field(
        default=1, ge=1, le=1000, description="Trials of the same sample that differ only in their seed."
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the network; each a value or a search distribution."
    )
    training: dict[str, Any] = Field(
        default_factory=dict,
        description="Hyper-parameters of the algorithm; each a value or a search distribution. Those left "
        "out are as in `training`; for an algorithm other than `dqn`, only `gradient_steps`, `discount` and "
        "`reward` are, and the others have their own defaults.",
    )

    @field_validator("options", mode="before")
    @classmethod
    def _check_options(cls, space: Any, info: ValidationInfo) -> Any:
        network = info.data.get("network")  # absent when invalid, which is an error of its own
        return validate_search_space(NETWORK_OPTIONS[network], space) if network else {}

    @field_validator("training", mode="before")
    @classmethod
    def _check_training(cls, space: Any, info: ValidationInfo) -> Any:
        algorithm = info.data.get("algorithm")
        return validate_search_space(ALGORITHMS[algorithm], space) if algorithm else {}

    @model_validator(mode="after")
    def _check_sampled(self) -> MethodSettings:
        sampled = any(leaf.kind != "grid" for leaf in self.distributions())
        if self.trials > 1 and not sampled:
            raise ValueError(
                f"trials: {self.trials} samples, but no key is sampled (by choice, uniform, ...); "
                f"set trials to 1, and seeds to repeat equal settings"
            )
        return self

    def distributions(self) -> list[Distribution]:
        """The distributions among the keys."""
        leaves = [*self.options.values(), *self.training.values()]
        return [leaf for leaf in leaves if isinstance(leaf, Distribution)]

    @field_serializer("options", "training")
    def _write_space(self, space: dict[str, Any]) -> dict[str, Any]:
        return {key: written(leaf) for key, leaf in space.items()}


class SearchSettings(Settings):
    """How the sampled keys get their values, and which trials end early."""

    algorithm: Literal["random", "optuna"] = Field(
        default="random",
        description="`random`: drawn before anything starts; `optuna`: suggested by Optuna (TPE) from the "
        "waits of the method's earlier trials, for methods without `grid` and `seeds`.",
    )
    scheduler: Literal["none", "asha"] = Field(
        default="none",
        description="`asha`: asynchronous successive halving among the trials of each method by "
        "`validation_wait`; `none`: every trial makes all its gradient steps.",
    )
    grace_steps: int = Field(
        default=1000, ge=1, le=10_000_000, description="Gradient steps before `asha` may stop a trial."
    )
    reduction_factor: float = Field(
        default=3, ge=1.1, le=100, description="Of this many trials at a rung of `asha`, one goes on."
    )


class WandbSettings(Settings):
    """Weights & Biases."""

    project: Name = Field(description="Project that receives a run per trial.")


class MlflowSettings(Settings):
    """MLflow."""

    tracking_uri: PathText = Field(
        description="Server or folder, as in `http://host:5000` or `file:/mlruns`."
    )
    experiment: Name | None = Field(
        default=None, description="MLflow's experiment; null: the experiment's name."
    )


class LoggingSettings(Settings):
    """Where Tune's results go beside the results folder and TensorBoard; each needs its own package."""

    wandb: WandbSettings | None = Field(default=None, description="`{project: ...}` for Weights & Biases.")
    mlflow: MlflowSettings | None = Field(
        default=None, description="`{tracking_uri: ..., experiment: ...}` for MLflow."
    )


class EvaluationSettings(Settings):
    """The final comparison of waits: the best trials of each method beside heuristics."""

    top_k: int = Field(
        default=3,
        ge=1,
        le=MAX_TRIALS,
        description="Best trials of each method by validation (reference: 3); all, if fewer.",
    )
    episodes: int = Field(
        default=1000,
        ge=1,
        le=1_000_000,
        description="Episodes per policy and cluster size (reference: 1000).",
    )
    split: Literal["train", "validation", "test"] = Field(
        default="test", description="Part of the trace where episodes start."
    )
    seed: Seed = Field(default=0, description="Seed of the drawn starts and of the heuristic `random`.")
    servers: ServerCounts | None = Field(
        default=None,
        description="Cluster sizes, servers; null: the size trained on. `mlp` can only play that one.",
    )
    heuristics: Annotated[tuple[HeuristicName, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=tuple(HEURISTICS),
        description="Heuristics to compare with.",
    )


class ResourceSettings(Settings):
    """How Ray runs the trials."""

    cpus_per_trial: float = Field(
        default=0.5, gt=0, le=1024, description="CPU cores reserved per trial; 0.5 runs two trials on a core."
    )
    max_concurrent_trials: Annotated[int, Field(ge=1, le=MAX_TRIALS)] | None = Field(
        default=None, description="Trials at the same time; null: as many as the cores allow."
    )
    max_failures: int = Field(
        default=3, ge=0, le=100, description="Restarts of a trial, from its checkpoint, after crashes."
    )
    checkpoint_every: int = Field(
        default=5,
        ge=1,
        le=1_000_000,
        description="Training iterations (calls of `Algorithm.train`) between checkpoints.",
    )
    num_cpus: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=None,
        description="CPU cores that Ray may use; null: all of the machine or of the running Ray cluster.",
    )

    @model_validator(mode="after")
    def _check_one_trial_fits(self) -> ResourceSettings:
        if self.num_cpus is not None and self.cpus_per_trial > self.num_cpus:
            raise ValueError(
                f"cpus_per_trial {self.cpus_per_trial:g} exceeds num_cpus {self.num_cpus}, so that "
                "no trial would start"
            )
        return self


class ExperimentConfig(Settings):
    """One experiment: what to train, on what, and how to compare."""

    name: Name = Field(description="Name of the experiment and of its folder under `output`.")
    output: PathText = Field(default="results", description="Folder that receives the experiment's folder.")
    seed: Seed = Field(default=0, description="Decides every drawn setting and the seed of every trial.")
    keep_weights: Literal["best", "all"] = Field(
        default="best", description="Whose weights stay in the results: the evaluated trials' or all."
    )
    trace: TraceSettings = Field(default_factory=TraceSettings, description="Which VM trace.")
    scenario: PathText | None = Field(
        default=None,
        description="`fading`, `recovering`, another preset or the YAML file of a scenario "
        "(docs/scenarios.md): place as many VMs as possible; null: let them wait as little as possible.",
    )
    cluster: ClusterSettings = Field(
        default_factory=ClusterSettings, description="The cluster trained on; a `scenario` has its own."
    )
    splits: SplitSettings | None = Field(
        default=None,
        description="Shares of the trace to start episodes in; null: the published split of a known dataset, "
        "else the default shares.",
    )
    training: TrainingSettings = Field(
        default_factory=TrainingSettings, description="Hyper-parameters shared by all methods."
    )
    validation: ValidationSettings = Field(
        default_factory=ValidationSettings, description="How weights and trials are chosen."
    )
    methods: Annotated[dict[Name, MethodSettings], Field(min_length=1)] = Field(
        description="Methods to compare, by display name."
    )
    search: SearchSettings = Field(default_factory=SearchSettings, description="How Tune searches.")
    evaluation: EvaluationSettings = Field(
        default_factory=EvaluationSettings, description="The final comparison."
    )
    resources: ResourceSettings = Field(
        default_factory=ResourceSettings, description="How Ray runs the trials."
    )
    logging: LoggingSettings = Field(
        default_factory=LoggingSettings, description="Trackers that receive the results too."
    )

    @model_validator(mode="after")
    def _check_search(self) -> ExperimentConfig:
        if self.search.algorithm == "optuna":
            for name, method in self.methods.items():
                if method.seeds > 1 or any(leaf.kind == "grid" for leaf in method.distributions()):
                    raise ValueError(
                        f"methods.{name}: search.algorithm optuna takes neither seeds nor grid; write choice "
                        "in place of grid, or set search.algorithm to random"
                    )
        return self

    @model_validator(mode="after")
    def _check_scenario(self) -> ExperimentConfig:
        if self.scenario is not None and self.cluster != ClusterSettings():
            raise ValueError("cluster: a scenario says what its servers are; leave cluster out, or scenario")
        keys = {"training": self.training.reward}
        keys |= {
            f"methods.{name}.training": method.training["reward"]
            for name, method in self.methods.items()
            if "reward" in method.training
        }
        for key, leaf in keys.items():
            for reward in leaf.values if isinstance(leaf, Distribution) else (leaf,):
                if (reward in ALLOCATION_REWARDS) != (self.scenario is not None):
                    wanted = "allocation or cpu_share with" if self.scenario else "log_wait, ... without"
                    raise ValueError(f"{key}.reward: must be {wanted} a scenario, got {reward}")
        return self

    @model_validator(mode="after")
    def _check_cluster_sizes(self) -> ExperimentConfig:
        servers = self.cluster.servers
        fixed = [name for name, method in self.methods.items() if method.network == "mlp"]
        if fixed and servers > MAX_MLP_SERVERS:
            raise ValueError(
                f"methods.{fixed[0]}: network mlp can have at most {MAX_MLP_SERVERS} servers, but "
                f"cluster.servers is {servers}"
            )
        evaluated = self.evaluation.servers or (servers,)
        if len(fixed) == len(self.methods) and not self.evaluation.heuristics and servers not in evaluated:
            raise ValueError(
                "evaluation: nothing to evaluate; there are no heuristics, and network mlp can only play the "
                f"cluster.servers {servers}, which evaluation.servers {list(evaluated)} leaves out"
            )
        return self
