"""Packages that only some keys need."""

from __future__ import annotations

from importlib.util import find_spec

from spane_rllib.core.errors import UserError
from spane_rllib.experiments.tuning.config import ExperimentConfig


def check_extras(config: ExperimentConfig) -> None:
    """Raise `UserError` if a key asks for a package that is not installed."""
    needed = {
        "optuna": "search.algorithm" if config.search.algorithm == "optuna" else None,
        "wandb": "logging.wandb" if config.logging.wandb else None,
        "mlflow": "logging.mlflow" if config.logging.mlflow else None,
    }
    for package, key in needed.items():
        if key is not None and find_spec(package) is None:
            raise UserError(f"{key}: needs a package that is not installed; run pip install {package}")
