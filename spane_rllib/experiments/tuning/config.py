"""The typed configuration of the main job, `python -m spane_rllib.tune`.

One experiment: train the trials of each method, keep the best by validation, evaluate these and heuristics on
unseen episodes. What is scheduled, the algorithms and the networks are a problem's: `experiment_settings`
makes the configuration of one. Defaults called "reference" are those of published code. Sections validate on
construction and raise `pydantic.ValidationError`; `loading.load_experiment` turns that into a one-line
`UserError`.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    ValidationInfo,
    create_model,
    field_serializer,
    field_validator,
    model_validator,
)

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Name, PathText, Seed, Settings, one_of
from spane_rllib.experiments.tuning.search_space import Distribution, validate_search_space, written
from spane_rllib.experiments.tuning.shared_training import shared_training
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.registry import network_options

MAX_TRIALS = 10_000
"""Trials of one experiment; more is a slip in a grid rather than a plan."""


class MethodSettings(Settings):
    """One method of the comparison: a network and the search over its settings."""

    about: ClassVar[Problem]

    network: str = Field(description="Kind of network, or `module:Class` for one of your own.")
    algorithm: str = Field(description="What trains it.")
    trials: int = Field(
        default=1,
        ge=1,
        le=MAX_TRIALS,
        description="Random samples of the searched keys, for each combination of the grids.",
    )
    seeds: int = Field(
        default=1, ge=1, le=1000, description="Trials of the same sample that differ only in their seed."
    )
    start_from: PathText | None = Field(
        default=None,
        description="Folder of a model of this network, whose weights trials begin with; null: fresh ones.",
    )
    options: dict[str, Any] = Field(
        default_factory=dict, description="Options of the network; each a value or a search distribution."
    )
    training: dict[str, Any] = Field(
        default_factory=dict,
        description="Hyper-parameters of the algorithm; each a value or a search distribution. Those left "
        "out are as in the experiment's `training`.",
    )

    @field_validator("network")
    @classmethod
    def _check_network(cls, network: str) -> str:
        try:
            network_options(cls.about, network)
        except UserError as error:
            raise ValueError(str(error)) from error
        return network

    @field_validator("algorithm")
    @classmethod
    def _check_algorithm(cls, algorithm: str) -> str:
        return one_of(algorithm, cls.about.algorithms)

    @field_validator("options", mode="before")
    @classmethod
    def _check_options(cls, space: Any, info: ValidationInfo) -> Any:
        network = info.data.get("network")  # absent when invalid, which is an error of its own
        return validate_search_space(network_options(cls.about, network), space) if network else {}

    @field_validator("training", mode="before")
    @classmethod
    def _check_training(cls, space: Any, info: ValidationInfo) -> Any:
        algorithm = info.data.get("algorithm")
        return validate_search_space(cls.about.algorithms[algorithm], space) if algorithm else {}

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
        "validation of the method's earlier trials, for methods without `grid` and `seeds`.",
    )
    scheduler: Literal["none", "asha"] = Field(
        default="none",
        description="`asha`: asynchronous successive halving among the trials of each method by their "
        "validation; `none`: every trial makes all its gradient steps.",
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


class ResourceSettings(Settings):
    """How Ray runs the trials."""

    cpus_per_trial: float = Field(
        default=0.5, gt=0, le=1024, description="CPU cores reserved per trial; 0.5 runs two trials on a core."
    )
    gpus_per_trial: float = Field(
        default=0.0,
        ge=0,
        le=64,
        description="GPUs reserved per trial, which then learns there; 0.25 lets four trials share one.",
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

    about: ClassVar[Problem]

    problem: str = Field(description="What is scheduled.")
    name: Name = Field(description="Name of the experiment and of its folder under `output`.")
    output: PathText = Field(default="results", description="Folder that receives the experiment's folder.")
    seed: Seed = Field(default=0, description="Decides every drawn setting and the seed of every trial.")
    keep_weights: Literal["best", "all"] = Field(
        default="best", description="Whose weights stay in the results: the evaluated trials' or all."
    )
    methods: Annotated[dict[Name, Any], Field(min_length=1)] = Field(
        description="Methods to compare, by display name."
    )
    training: dict[str, Any] = Field(
        default_factory=dict,
        validate_default=True,
        description="Hyper-parameters that methods share. A key holds for all methods, whose algorithms must "
        "know it; under the name of an algorithm, for those that use it.",
    )
    validation: Any = Field(default=None, description="How weights and trials are chosen.")
    search: SearchSettings = Field(default_factory=SearchSettings, description="How Tune searches.")
    evaluation: Any = Field(default=None, description="The final comparison.")
    resources: ResourceSettings = Field(
        default_factory=ResourceSettings, description="How Ray runs the trials."
    )
    logging: LoggingSettings = Field(
        default_factory=LoggingSettings, description="Trackers that receive the results too."
    )

    @field_validator("training", mode="before")
    @classmethod
    def _check_training(cls, given: Any, info: ValidationInfo) -> Any:
        methods = info.data.get("methods")  # absent when invalid, which is an error of its own
        if methods is None:
            return {}
        used = dict.fromkeys(method.algorithm for method in methods.values())
        return shared_training({name: cls.about.algorithms[name] for name in used}, given)

    @field_serializer("training")
    def _write_training(self, training: dict[str, Settings]) -> dict[str, Any]:
        written = {name: settings.model_dump(mode="json") for name, settings in training.items()}
        return next(iter(written.values())) if len(written) == 1 else written

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
    def _check_problem(self) -> ExperimentConfig:
        self.about.check(self)
        return self


@cache
def experiment_settings(problem: Problem) -> type[ExperimentConfig]:
    """The configuration of experiments about `problem`, the fields of `problem.instance` among them."""
    method: Any = create_model(
        "MethodSettings",
        __base__=MethodSettings,
        __doc__=MethodSettings.__doc__,
        network=(str, _named("Kind of network, or `module:Class` for one of your own.", problem.networks)),
        algorithm=(
            str,
            _named("What trains it.", problem.algorithms, default=next(iter(problem.algorithms))),
        ),
    )
    evaluation: Any = create_model(
        "EvaluationSettings",
        __base__=problem.evaluation,
        __doc__=problem.evaluation.__doc__,
        top_k=(
            int,
            Field(
                default=3,
                ge=1,
                le=MAX_TRIALS,
                description="Best trials of each method by validation (reference: 3); all, if fewer.",
            ),
        ),
    )
    config: Any = create_model(
        "ExperimentConfig",
        __base__=(problem.instance, ExperimentConfig),
        __doc__=ExperimentConfig.__doc__,
        problem=(str, Field(default=problem.name, description="What is scheduled.")),
        methods=(
            Annotated[dict[Name, method], Field(min_length=1)],
            Field(description="Methods to compare, by display name."),
        ),
        validation=(
            problem.validation,
            Field(default_factory=problem.validation, description="How weights and trials are chosen."),
        ),
        evaluation=(evaluation, Field(default_factory=evaluation, description="The final comparison.")),
    )
    method.about = config.about = problem
    return config


def _named(description: str, names: Any, **default: Any) -> Any:
    return Field(description=description, json_schema_extra={"examples": list(names)}, **default)
