"""The policies of a study: heuristics, models by themselves, and groups of models from experiments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from spane_rllib.core.errors import UserError
from spane_rllib.core.reading import opened
from spane_rllib.core.words import suggestion
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.studies.config import StudyConfig
from spane_rllib.problems.problem import Policy, Task

TRIALS_FILE = "trials.csv"


@dataclass(frozen=True)
class Group:
    """Models that belong together.

    Args:
        name: display name.
        policies: their names; the best by validation first, where `ranked`.
        ranked: whether that order is known.
    """

    name: str
    policies: tuple[str, ...]
    ranked: bool


@dataclass
class StudyPolicies:
    """All policies of a study by name, and how they are grouped."""

    task: Task
    policies: dict[str, Policy] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def group_of(self, policy: str) -> str:
        """Name of the first group that `policy` is in, else "heuristic" or ""."""
        names = (group.name for group in self.groups if policy in group.policies)
        return next(names, "heuristic" if policy in self.task.problem.baselines else "")

    def add(self, text: str, where: str, name: str | None = None) -> str:
        """Load the policy that `text` means; returns its name. `where` is the key that has it."""
        try:
            policy = self.task.load_policy(text, name)
        except UserError as error:
            raise UserError(f"{where}: {error}") from error
        if self.policies.setdefault(policy.name, policy).identity != policy.identity:
            raise UserError(f"two different models are called {policy.name}; rename the group or the folder")
        return policy.name


def load_policies(config: StudyConfig, task: Task) -> StudyPolicies:
    """Everything that `config` names, groups first.

    Raises:
        UserError: a model or results folder is missing, damaged or incomplete, or the reference is not among
            the policies.
    """
    loaded = StudyPolicies(task)
    for name, paths in config.groups.items():
        loaded.groups.append(_load_group(loaded, name, [Path(path) for path in paths]))
    for key, texts in (
        ("policies", config.policies),
        ("evaluation.heuristics", config.evaluation.heuristics),
    ):
        for text in texts:
            loaded.add(text, key)
    if config.reference not in loaded.policies:
        hint = suggestion(config.reference, loaded.policies)
        raise UserError(f"reference: {config.reference!r} is not evaluated; {hint}")
    return loaded


def _load_group(loaded: StudyPolicies, name: str, paths: list[Path]) -> Group:
    names: list[str] = []
    key = f"groups.{name}"
    for path in paths:
        if found := _results_folder(path):
            models = _trained(loaded, name, *found)
            names += [loaded.add(str(model), key, f"{name}/{model.name}") for model in models]
        elif path.is_dir():
            names.append(loaded.add(str(path), key))
        else:
            raise UserError(
                f"{key}: {path}: neither a results folder (no {TRIALS_FILE}) nor a model's folder"
            )
    ranked = len(paths) == 1 and len(names) > 1
    return Group(name, tuple(dict.fromkeys(names)), ranked)


def _results_folder(path: Path) -> tuple[Path, str | None] | None:
    """The results folder that `path` is, or is a method's folder of, and the method; None if neither."""
    if (path / TRIALS_FILE).exists():
        return path, None
    if path.parent.name == "models" and (path.parent.parent / TRIALS_FILE).exists():
        return path.parent.parent, path.name
    return None


def _trained(loaded: StudyPolicies, name: str, path: Path, method: str | None) -> Iterator[Path]:
    """Model directories of the trials in a results folder, or of one of its methods, best first."""
    where = f"groups.{name}: {path}"
    trials = _read_trials(path / TRIALS_FILE)
    methods = list(trials["method"].unique())
    if method is None and len(methods) > 1:
        raise UserError(
            f"{where} has several methods; name one of its folders models/{{{','.join(methods)}}}"
        )
    if method is not None:
        if method not in methods:
            raise UserError(f"{where}: no method {method}; {suggestion(method, methods)}")
        trials = trials[trials["method"] == method]
    finished = trials.dropna(subset=["rank"]).sort_values("rank", kind="stable")
    folder = ResultsFolder(path)
    directories = [folder.models / row.method / row.trial for row in finished.itertuples()]
    absent = [directory for directory in directories if not directory.is_dir()]
    if absent or finished.empty:
        raise UserError(
            f"{where} has the weights of {len(directories) - len(absent)} of {len(trials)} trials; train "
            "them with keep_weights: all, or list model directories"
        )
    if len(finished) < len(trials):
        loaded.notes.append(f"{name}: {len(trials) - len(finished)} of {len(trials)} trials have no weights.")
    yield from directories


def _read_trials(file: Path) -> pd.DataFrame:
    columns = ["method", "trial", "rank"]
    try:
        with opened(file) as stream:
            return pd.read_csv(stream, usecols=columns, dtype={"method": str, "trial": str})
    except ValueError as error:
        raise UserError(
            f"{file} is damaged ({error}); python -m spane_rllib.analyze {file.parent} writes it again"
        ) from error
