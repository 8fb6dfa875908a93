"""Experiment files and presets: reading them with overrides."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path

from spane_rllib.core.errors import UserError
from spane_rllib.core.presets import presets_of
from spane_rllib.experiments.settings_files import problem_of, read_settings
from spane_rllib.experiments.tuning.config import ExperimentConfig, experiment_settings
from spane_rllib.experiments.tuning.trials import draw_trials


def load_experiment(
    source: str | os.PathLike[str], overrides: Iterable[str] = (), start_from: str | None = None
) -> ExperimentConfig:
    """Read an experiment.

    Args:
        source: path of a YAML file, or the name of a preset (`quick` or `quick.yaml`).
        overrides: `section.key=value` each, the value in YAML; they win over the file.
        start_from: folder of a model that the trials of all methods begin with, with its options.

    Raises:
        UserError: the file, a key, a value, an override or any drawn trial is invalid.
    """
    overrides = list(overrides)
    if start_from is not None:
        from spane_rllib.learning.models import read_kind

        _, options = read_kind(start_from)
        place = json.dumps(str(Path(start_from).absolute()))  # continued from other folders, too
        for name in load_experiment(source, overrides).methods:
            overrides += [
                f"methods.{name}.start_from={place}",
                f"methods.{name}.options={json.dumps(options)}",
            ]
    hint = "search distributions belong under methods.<name>.options or .training"
    config, where = read_settings(
        lambda data: experiment_settings(problem_of(data)), source, overrides, presets_of(), hint
    )
    try:
        draw_trials(config)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return config
