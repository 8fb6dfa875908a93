"""The typed configuration of direct policy search, `python -m spane_rllib.search`."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, ClassVar

from pydantic import Field, create_model, model_validator

from spane_rllib.core.errors import UserError
from spane_rllib.core.presets import presets_of
from spane_rllib.core.settings import Name, PathText, Seed, Settings
from spane_rllib.core.words import suggestion
from spane_rllib.experiments.settings_files import problem_of, read_settings
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.search import SearchMethod, SearchValidation


class SearchConfig(Settings):
    """One experiment: several searches that differ in their seed alone."""

    about: ClassVar[Problem]

    problem: str = Field(description="What is scheduled.")
    search: str = Field(description="Method of search, one of the problem's.")
    name: Name = Field(description="Name of the experiment and of its folder under `output`.")
    output: PathText = Field(default="results", description="Folder that receives the experiment's folder.")
    seed: Seed = Field(default=0, description="Decides the seeds of the searches.")
    seeds: int = Field(default=5, ge=1, le=1000, description="Searches.")
    generations: int = Field(default=30, ge=1, le=1_000_000, description="Generations of each search.")
    population: int = Field(default=12, ge=4, le=10_000, description="Candidates per generation.")
    validation: SearchValidation = Field(
        default_factory=SearchValidation, description="Episodes that choose what is kept."
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=4096,
        description="Ray tasks at a time; 0: in this process, without Ray.",
    )

    @model_validator(mode="after")
    def _check_combination(self) -> SearchConfig:
        if self.validation.every > self.generations:
            raise ValueError(
                f"validation.every {self.validation.every} exceeds generations {self.generations}, so no "
                "validation would take place"
            )
        return self

    @property
    def method(self) -> SearchMethod:
        """What `search` names."""
        return self.about.searches[self.search]


@cache
def search_settings(problem: Problem, search: str) -> type[SearchConfig]:
    """The configuration of one of the searches of `problem`; its own keys are among the fields."""
    fields = SearchConfig.model_fields
    config: Any = create_model(
        "SearchConfig",
        __base__=(problem.searches[search].settings, SearchConfig),
        __doc__=SearchConfig.__doc__,
        problem=(str, Field(default=problem.name, description=fields["problem"].description)),
        search=(str, Field(default=search, description=fields["search"].description)),
    )
    config.about = problem
    return config


def load_search(source: str | os.PathLike[str], overrides: Iterable[str] = ()) -> SearchConfig:
    """Read a search.

    Args:
        source: path of a YAML file, or the name of a preset (`policy_search` or `policy_search.yaml`).
        overrides: `key=value` each, the value in YAML; they win over the file.

    Raises:
        UserError: the file, a key, a value or an override is invalid.
    """
    return read_settings(_kind, source, overrides, presets_of("policy_search"))[0]


def _kind(data: Mapping[str, Any]) -> type[SearchConfig]:
    problem = problem_of(data)
    if not problem.searches:
        raise UserError(f"problem {problem.name}: offers no direct search")
    search = str(data.get("search", next(iter(problem.searches))))
    if search not in problem.searches:
        raise UserError(
            f"search: {search!r} is none of {problem.name}; {suggestion(search, problem.searches)}"
        )
    return search_settings(problem, search)
