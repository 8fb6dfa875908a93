"""Experiment files and presets: reading them with overrides, and writing them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.settings import Section, Settings, first_error, key_path, user_error
from spane_rllib.core.strict_yaml import parse_yaml, write_yaml
from spane_rllib.core.yaml_files import find_yaml, presets_in, read_mapping
from spane_rllib.experiments.tuning.config import ExperimentConfig
from spane_rllib.experiments.tuning.trials import draw_trials

STUDY_PRESETS = ("flexibility", "wait_time")
"""Those of `tune_configs/` that `study_config.load_study` reads."""
SEARCH_PRESETS = ("policy_search",)
"""Those that `search_config.load_search` reads."""


def load_experiment(source: str | os.PathLike[str], overrides: Iterable[str] = ()) -> ExperimentConfig:
    """Read an experiment.

    Args:
        source: path of a YAML file, or the name of a preset (`quick` or `quick.yaml`).
        overrides: `section.key=value` each, the value in YAML; they win over the file.

    Raises:
        UserError: the file, a key, a value, an override or any drawn trial is invalid.
    """
    hint = "search distributions belong under methods.<name>.options or .training"
    config, where = read_settings(ExperimentConfig, source, overrides, preset_names(), hint)
    try:
        draw_trials(config)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return config


def read_settings(
    kind: type[Section],
    source: str | os.PathLike[str],
    overrides: Iterable[str],
    presets: Sequence[str],
    mapping_hint: str = "",
) -> tuple[Section, str]:
    """A YAML file or one of `presets` as a `kind`, with overrides, and what messages call its place.

    `mapping_hint` is added where a mapping stands for a number. Raises `UserError` for anything invalid.
    """
    required = [f"{key}: ..." for key, field in kind.model_fields.items() if field.is_required()]
    where, data = read_mapping(find_yaml(source, _preset_folder(), presets), ", ".join(required))
    overridden = []
    for override in overrides:
        key, value = _parse_override(override)
        _assign(data, key, value)
        overridden.append(key)
    try:
        return kind.model_validate(data), where
    except ValidationError as error:
        details = first_error(error)
        at = key_path(details) + "."
        if any(at.startswith(f"{key}.") for key in overridden):
            where = "--set"
        refusal = user_error(error, where)
        if (
            mapping_hint
            and details["type"] in ("int_type", "float_type")
            and isinstance(details["input"], dict)
        ):
            refusal = UserError(f"{refusal}; {mapping_hint}")
        raise refusal from error


def dump_settings(config: Settings) -> str:
    """`config`, defaults included, as YAML text that loads as an equal configuration."""
    return write_yaml(config.model_dump(mode="json"))


def preset_names() -> list[str]:
    """Names of the shipped experiments, without `.yaml`."""
    others = {*STUDY_PRESETS, *SEARCH_PRESETS}
    return [name for name in presets_in(_preset_folder()) if name not in others]


def _preset_folder() -> Path:
    package = Path(__file__).resolve().parents[2]
    installed = package / "tune_configs"  # a wheel carries them inside the package
    return installed if installed.is_dir() else package.parent / "tune_configs"


def _parse_override(override: str) -> tuple[str, Any]:
    key, separator, value = override.partition("=")
    if not separator or not all(key.strip().split(".")):
        raise UserError(
            one_line(f"--set {override[:80]!r}: write section.key=value, as in training.gradient_steps=500")
        )
    return key.strip(), parse_yaml(value, one_line(f"--set {key.strip()}"))


def _assign(data: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for depth, section in enumerate(sections, start=1):
        if data.get(section) is None:  # absent, or null as in `splits: null`
            data[section] = {}
        data = data[section]
        if not isinstance(data, dict):
            at = ".".join(sections[:depth])
            raise UserError(one_line(f"--set {key}: {at} holds a value, not keys"))
    data[last] = value
