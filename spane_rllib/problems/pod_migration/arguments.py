"""The options of commands that say which windows are played, on which cluster."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any, Literal

from spane_rllib.core.console import whole_number
from spane_rllib.core.errors import one_line
from spane_rllib.core.reading import user_path
from spane_rllib.core.settings import validated
from spane_rllib.core.strict_yaml import parse_yaml
from spane_rllib.problems.pod_migration.settings import PodEvaluationSettings, PodSettings

if TYPE_CHECKING:
    from spane_rllib.problems.pod_migration.problem import PodMigration
    from spane_rllib.problems.problem import Evaluation

_SECTIONS = ("weights", "splits")


def add_settings(parser: argparse.ArgumentParser, names: tuple[str, ...] = ()) -> None:
    """Add an option for every field of `PodSettings`, or those of `names`; what is not given is None."""
    for name, field in PodSettings.model_fields.items():
        if names and name not in names:
            continue
        example = " as in '{overload: 1}'" if name == "weights" else ""
        default = "see docs" if name in _SECTIONS else str(field.default).lower()
        parser.add_argument(
            _option(name), metavar="VALUE", help=one_line(f"{field.description}{example} ({default})")
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options that `evaluation_of` reads."""
    add_settings(parser)
    parser.add_argument(
        "--split",
        choices=("train", "validation", "test"),
        default="test",
        help="which windows are played (test: held out from training)",
    )
    parser.add_argument(
        "--episodes",
        type=_episode_count,
        default="all",
        metavar="K",
        help="disjoint stretches of `horizon` windows, or `all` (default)",
    )
    parser.add_argument(
        "--seed",
        type=whole_number(0, 2**32 - 1),
        default=0,
        metavar="S",
        help="seed of which stretches, and of `random` (0)",
    )


def settings_of(arguments: argparse.Namespace) -> PodSettings:
    """The settings that parsed options give; raises `UserError`."""
    given: dict[str, Any] = {}
    for name in PodSettings.model_fields:
        text = getattr(arguments, name, None)
        if text is not None:
            plain = name in ("trace", "cluster")
            given[name] = text if plain else parse_yaml(text, one_line(f"argument {_option(name)}"))
    return validated(PodSettings, given)


def evaluation_of(problem: PodMigration, arguments: argparse.Namespace) -> Evaluation:
    """The evaluation that parsed options name."""
    task = problem.load(settings_of(arguments))
    fields = {name: getattr(arguments, name) for name in ("split", "episodes", "seed")}
    return task.evaluation(validated(PodEvaluationSettings, fields))


def job_arguments(arguments: argparse.Namespace) -> list[str]:
    """`Problem.job_arguments`."""
    settings = placed(settings_of(arguments))
    words = ["--split", arguments.split, "--episodes", arguments.episodes, "--seed", arguments.seed]
    for name in PodSettings.model_fields:
        value = getattr(settings, name)
        if name in _SECTIONS:
            value = value.model_dump_json()
        words += [_option(name), str(value).lower() if isinstance(value, bool) else value]
    return [str(word) for word in words]


def placed(settings: Any, data: str | None = None) -> Any:
    """`Problem.placed`; `data` is the trace."""
    from spane_rllib.datasets.vm_traces.loading import DATA_VARIABLE
    from spane_rllib.problems.pod_migration.clusters.loading import PRESETS

    trace = data or settings.trace
    if trace == "auto":
        # By name, not by variable: a node without the file is to say so, not fall back to a synthetic trace.
        trace = os.environ.get(DATA_VARIABLE) or "synthetic"
    if trace.partition(":")[0] != "synthetic":
        trace = str(user_path(trace))
    cluster = settings.cluster
    if cluster not in PRESETS:
        cluster = str(user_path(cluster))
    return settings.model_copy(update={"trace": trace, "cluster": cluster})


def _episode_count(text: str) -> int | Literal["all"]:
    return "all" if text == "all" else whole_number(1, 1_000_000)(text)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
