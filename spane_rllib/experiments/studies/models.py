"""The policies of a study: heuristics, models by themselves, and groups of models from experiments."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from spane_rllib.core.errors import UserError
from spane_rllib.core.settings import suggestion
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.studies.config import StudyConfig
from spane_rllib.problems.vm_scheduling.heuristic_names import HEURISTICS
from spane_rllib.problems.vm_scheduling.networks.weights import MODEL_FILE, load_model
from spane_rllib.problems.vm_scheduling.part_keys import model_digest
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy, Policy, policy_of
from spane_rllib.problems.vm_scheduling.pretrained import model_folder


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
    """All policies of a study by name, what identifies each one's results, and how they are grouped."""

    policies: dict[str, Policy] = field(default_factory=dict)
    identities: dict[str, str] = field(default_factory=dict)
    groups: list[Group] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def group_of(self, policy: str) -> str:
        """Name of the first group that `policy` is in, else "heuristic" or ""."""
        names = (group.name for group in self.groups if policy in group.policies)
        return next(names, "heuristic" if policy in HEURISTICS else "")

    def add_model(self, name: str, directory: Path) -> str:
        """Load a model; returns `name`."""
        model, _ = load_model(directory)
        return self._add(policy_of(name, model), model_digest(directory))

    def add_heuristic(self, name: str, training_rows: int) -> str:
        """Add a heuristic; `fgd` takes its flavours from the first `training_rows` rows."""
        return self._add(HeuristicPolicy(name, training_rows), f"{name} {training_rows}")

    def _add(self, policy: Policy, identity: str) -> str:
        if self.identities.setdefault(policy.name, identity) != identity:
            raise UserError(f"two different models are called {policy.name}; rename the group or the folder")
        self.policies[policy.name] = policy
        return policy.name


def load_policies(config: StudyConfig, training_rows: int) -> StudyPolicies:
    """Everything that `config` names, groups first.

    Raises:
        UserError: a model or results folder is missing, damaged or incomplete, or the reference is not among
            the policies.
    """
    loaded = StudyPolicies()
    for name, paths in config.groups.items():
        loaded.groups.append(_load_group(loaded, name, [Path(path) for path in paths]))
    for text in dict.fromkeys((*config.policies, *config.evaluation.heuristics)):
        if text in HEURISTICS:
            loaded.add_heuristic(text, training_rows)
        elif (folder := model_folder(text)).is_dir():
            loaded.add_model(text, folder)
        else:
            hint = suggestion(text, HEURISTICS)
            raise UserError(f"policies: {text!r} is neither the directory of a model nor a heuristic; {hint}")
    if config.reference not in loaded.policies:
        hint = suggestion(config.reference, loaded.policies)
        raise UserError(f"reference: {config.reference!r} is not evaluated; {hint}")
    return loaded


def _load_group(loaded: StudyPolicies, name: str, paths: list[Path]) -> Group:
    names: list[str] = []
    for path in paths:
        if (path / MODEL_FILE).is_file():
            names.append(loaded.add_model(str(path), path))
        else:
            names += [
                loaded.add_model(f"{name}/{model.name}", model) for model in _trained(loaded, name, path)
            ]
    ranked = len(paths) == 1 and len(names) > 1
    return Group(name, tuple(dict.fromkeys(names)), ranked)


def _trained(loaded: StudyPolicies, name: str, path: Path) -> Iterator[Path]:
    """Model directories of the trials in a results folder, or of one of its methods, best first."""
    where = f"groups.{name}: {path}"
    method = None
    if path.parent.name == "models" and (path.parent.parent / "trials.csv").is_file():
        path, method = path.parent.parent, path.name
    trials = _read_trials(path / "trials.csv", where)
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


def _read_trials(file: Path, where: str) -> pd.DataFrame:
    if not file.is_file():
        raise UserError(f"{where}: neither a results folder (no trials.csv) nor a model (no {MODEL_FILE})")
    try:
        return pd.read_csv(file, usecols=["method", "trial", "rank"], dtype={"method": str, "trial": str})
    except (OSError, ValueError) as error:
        raise UserError(
            f"{file} is damaged ({error}); python -m spane_rllib.analyze {file.parent} writes it again"
        ) from error
