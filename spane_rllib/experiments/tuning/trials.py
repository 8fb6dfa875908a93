"""From an experiment to its trials: every setting concrete and valid before anything starts."""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, SerializeAsAny, ValidationError, ValidationInfo, field_validator

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import Settings, one_of, user_error
from spane_rllib.experiments.tuning.config import MAX_TRIALS, ExperimentConfig, MethodSettings
from spane_rllib.experiments.tuning.search_space import Distribution
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.registry import find_problem, network_options


class TrialSettings(Settings):
    """One training run with nothing left open; `model_dump(mode="json")` and `model_validate` are inverse."""

    problem: str = Field(description="What is scheduled.")
    name: str = Field(description="Unique in the experiment: method and index.")
    method: str = Field(description="Name of the method.")
    index: int = Field(description="Number of the trial within its method, from 0.")
    seed: int = Field(description="Seed of the trial's weights, episodes, exploration and replay.")
    network: str = Field(description="Kind of network.")
    algorithm: str = Field(description="What trains it.")
    options: dict[str, Any] = Field(description="All options of the network.")
    start_from: str | None = Field(default=None, description="Folder of the model that it begins with.")
    training: SerializeAsAny[Settings] = Field(description="Hyper-parameters of the algorithm.")

    @property
    def about(self) -> Problem:
        """The problem."""
        return find_problem(self.problem)

    @field_validator("algorithm")
    @classmethod
    def _check_algorithm(cls, algorithm: str, info: ValidationInfo) -> str:
        problem = info.data.get("problem")
        return one_of(algorithm, find_problem(problem).algorithms) if problem else algorithm

    @field_validator("options", mode="before")
    @classmethod
    def _complete_options(cls, options: Any, info: ValidationInfo) -> dict[str, Any]:
        problem = find_problem(info.data["problem"])
        return network_options(problem, info.data["network"]).model_validate(options).model_dump()

    @field_validator("training", mode="before")
    @classmethod
    def _read_training(cls, training: Any, info: ValidationInfo) -> Any:
        algorithm = info.data.get("algorithm")
        if not algorithm:
            return training
        return find_problem(info.data["problem"]).algorithms[algorithm].model_validate(training)


def draw_trials(config: ExperimentConfig) -> list[TrialSettings]:
    """All trials of `config`, method by method; `config.seed` decides them.

    Per method: every combination of the `grid`s, times `trials` samples of the other distributions, times
    `seeds`. The draws of a sample depend on the seed, the method's name and the sample's position alone, so
    other methods or more trials change nothing about it. With `search.algorithm: optuna` these are stand-ins:
    their number, names, seeds and fixed keys hold, the sampled values are suggested while trials run.

    Raises:
        UserError: a combination is invalid, or there are more than `MAX_TRIALS` trials.
    """
    counts = {name: _count_trials(method) for name, method in config.methods.items()}
    if sum(counts.values()) > MAX_TRIALS:
        name = max(counts, key=counts.__getitem__)
        raise UserError(
            f"methods: {sum(counts.values()):,} trials in all ({name}: {counts[name]:,}), "
            f"at most {MAX_TRIALS:,} are allowed; lower trials or seeds, or shorten the grids"
        )
    return [trial for name, method in config.methods.items() for trial in _draw(config, name, method)]


def searched_keys(method: MethodSettings) -> dict[tuple[str, str], Any]:
    """Values and distributions of `method` by section (`options`, `training`) and key."""
    sections = {"options": method.options, "training": method.training}
    return {(section, key): leaf for section, space in sections.items() for key, leaf in space.items()}


def _grids(method: MethodSettings) -> dict[tuple[str, str], tuple[Any, ...]]:
    leaves = searched_keys(method).items()
    return {
        path: leaf.values for path, leaf in leaves if isinstance(leaf, Distribution) and leaf.kind == "grid"
    }


def _count_trials(method: MethodSettings) -> int:
    return math.prod(map(len, _grids(method).values())) * method.trials * method.seeds


def _draw(config: ExperimentConfig, name: str, method: MethodSettings) -> Iterator[TrialSettings]:
    leaves, grids = searched_keys(method), _grids(method)
    index = 0
    for point, combination in enumerate(itertools.product(*grids.values())):
        for sample in range(method.trials):
            rng = np.random.default_rng([config.seed, zlib.crc32(name.encode()), point, sample])
            values = dict(zip(grids, combination, strict=True))
            for path, leaf in leaves.items():
                if path not in values:
                    values[path] = leaf.sample(rng) if isinstance(leaf, Distribution) else leaf
            for _ in range(method.seeds):
                yield make_trial(config, name, index, int(rng.integers(2**31)), values)
                index += 1


def make_trial(
    config: ExperimentConfig,
    name: str,
    index: int,
    seed: int,
    values: dict[tuple[str, str], Any],
) -> TrialSettings:
    """Trial `index` of the method `name` with these `values`; raises `UserError` if they do not fit."""
    where = f"methods.{name}: trial {index}"
    method = config.methods[name]
    shared = config.training[method.algorithm].model_dump()
    try:
        trial = TrialSettings(
            problem=config.problem,
            name=f"{name}-{index:04d}",
            method=name,
            index=index,
            seed=seed,
            network=method.network,
            algorithm=method.algorithm,
            start_from=method.start_from and str(Path(method.start_from).absolute()),
            options={key: value for (section, key), value in values.items() if section == "options"},
            training=config.about.algorithms[method.algorithm].model_validate(
                shared | {key: value for (section, key), value in values.items() if section == "training"}
            ),
        )
    except ValidationError as error:
        raise user_error(error, where) from error
    if trial.start_from:
        _check_start(trial, where)
    steps = getattr(trial.training, "gradient_steps", config.validation.every)
    if config.validation.every > steps:
        raise UserError(
            f"{where}: validation.every {config.validation.every} exceeds training.gradient_steps {steps}, "
            "so no validation would take place"
        )
    return trial


def _check_start(trial: TrialSettings, where: str) -> None:
    """Raise a `UserError` unless the trial's network is that of the model that it begins with."""
    from spane_rllib.learning.models import read_kind

    assert trial.start_from is not None
    kind, options = read_kind(trial.start_from)
    if kind != trial.network:
        raise UserError(f"{where}: network {trial.network}, but {trial.start_from} is of network {kind}")
    for name, value in options.items():
        if name in trial.options and trial.options[name] != value:
            raise UserError(
                f"{where}: options.{name} is {trial.options[name]}, but {value} in {trial.start_from}; "
                "set it alike"
            )
