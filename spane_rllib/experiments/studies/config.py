"""The typed configuration of a study, `python -m spane_rllib.study`: trained models beside baselines."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BeforeValidator, Field, Strict, create_model, model_validator

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.presets import presets_of
from spane_rllib.core.settings import Name, PathText, Seed, Settings, distinct
from spane_rllib.experiments.settings_files import problem_of, read_settings
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.registry import find_problem
from spane_rllib.problems.studies import OwnStudy

Paths = Annotated[
    tuple[PathText, ...],
    Strict(False),
    Field(min_length=1),
    BeforeValidator(lambda paths: [paths] if isinstance(paths, str) else paths),
    AfterValidator(distinct),
]


class BootstrapSettings(Settings):
    """The intervals: percentiles over resamples of blocks of neighbouring episodes, which overlap."""

    resamples: int = Field(default=2000, ge=100, le=100_000, description="Resamples.")
    block_rows: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None,
        description="Length of a block, in rows of what episodes start from; null: the problem's.",
    )


class StudyConfig(Settings):
    """One study: which models and heuristics to evaluate, on what, and how to compare them."""

    about: ClassVar[Problem]

    problem: str = Field(description="What is scheduled.")
    name: Name = Field(description="Name of the study and of its folder under `output`.")
    output: PathText = Field(default="results", description="Folder that receives the study's folder.")
    seed: Seed = Field(default=0, description="Seed of the bootstrap.")
    groups: dict[Name, Paths] = Field(
        default_factory=dict,
        description="Models that belong together, by display name: the results folder of an experiment with "
        "`keep_weights: all` (or, where it has several methods, its folder `models/METHOD`), or a list of "
        "model directories.",
    )
    policies: Annotated[tuple[PathText, ...], Strict(False), AfterValidator(distinct)] = Field(
        default=(), description="Model directories, heuristics or `module:Class`, by themselves."
    )
    evaluation: Any = Field(default=None, description="What every policy plays.")
    top: Annotated[
        tuple[Annotated[int, Field(ge=1, le=10_000)], ...], Strict(False), AfterValidator(distinct)
    ] = Field(
        default=(3, 11),
        description="Means over a group's best models by validation, this many each. With 5 or more there is "
        "one without the 2 best and 2 worst too, as published for 11.",
    )
    reference: PathText = Field(description="Evaluated policy that every other one is compared with.")
    bootstrap: BootstrapSettings = Field(default_factory=BootstrapSettings, description="The intervals.")
    workers: int = Field(
        default=0, ge=0, le=4096, description="Ray tasks; 0: everything in one process, without Ray."
    )

    @model_validator(mode="after")
    def _check_policies(self) -> StudyConfig:
        if not (self.groups or self.policies or self.evaluation.heuristics):
            raise ValueError("nothing to evaluate; name groups, policies or evaluation.heuristics")
        if "heuristic" in self.groups:
            raise ValueError("groups.heuristic: is what tables call heuristics; choose another name")
        return self


@cache
def study_settings(problem: Problem) -> type[StudyConfig]:
    """The configuration of studies about `problem`; the fields of `problem.instance` are among its own."""
    reference = StudyConfig.model_fields["reference"].description
    evaluation = StudyConfig.model_fields["evaluation"].description
    config: Any = create_model(
        "StudyConfig",
        __base__=(problem.instance, StudyConfig),
        __doc__=StudyConfig.__doc__,
        problem=(str, Field(default=problem.name, description="What is scheduled.")),
        evaluation=(
            problem.evaluation,
            Field(default_factory=problem.evaluation, description=evaluation),
        ),
        reference=(PathText, Field(default=problem.statistics.reference, description=reference)),
    )
    config.about = problem
    return config


def load_study(source: str | os.PathLike[str], overrides: Iterable[str] = ()) -> Any:
    """Read a study: a `StudyConfig`, or the settings of a study of the problem's own.

    Args:
        source: path of a YAML file, or the name of a preset (`NAME` or `NAME.yaml`).
        overrides: `section.key=value` each, the value in YAML; they win over the file.

    Raises:
        UserError: the file, a key, a value or an override is invalid.
    """
    return read_settings(_settings_of, source, overrides, presets_of("studies"))[0]


def own_study(config: Any) -> OwnStudy | None:
    """The study of the problem's own that `config` is of, if it is of one."""
    study: OwnStudy | None = None
    if not isinstance(config, StudyConfig):
        study = find_problem(config.problem).studies[config.study]
    return study


def _settings_of(data: Mapping[str, Any]) -> type[Settings]:
    problem = problem_of(data)
    if "study" not in data:
        return study_settings(problem)
    if data["study"] not in tuple(problem.studies):
        known = ", ".join(problem.studies) or "none"
        raise UserError(one_line(f"study: {data['study']!r} is no study of {problem.name}; allowed: {known}"))
    return problem.studies[data["study"]].settings
