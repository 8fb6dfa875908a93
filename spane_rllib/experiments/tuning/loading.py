"""Experiment files and presets: reading them with overrides."""

from __future__ import annotations

import os
from collections.abc import Iterable

from spane_rllib.core.errors import UserError
from spane_rllib.core.presets import presets_of
from spane_rllib.experiments.settings_files import problem_of, read_settings
from spane_rllib.experiments.tuning.config import ExperimentConfig, experiment_settings
from spane_rllib.experiments.tuning.trials import draw_trials


def load_experiment(source: str | os.PathLike[str], overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Read an experiment.

    Args:
        source: path of a YAML file, or the name of a preset (`quick` or `quick.yaml`).
        overrides: `section.key=value` each, the value in YAML; they win over the file.

    Raises:
        UserError: the file, a key, a value, an override or any drawn trial is invalid.
    """
    hint = "search distributions belong under methods.<name>.options or .training"
    config, where = read_settings(
        lambda data: experiment_settings(problem_of(data)), source, overrides, presets_of(), hint
    )
    try:
        draw_trials(config)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return config
