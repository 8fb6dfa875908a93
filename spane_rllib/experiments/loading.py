"""Experiment files and presets: reading them with overrides, and writing them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from spane_rllib.errors import UserError, one_line
from spane_rllib.experiments.config import ExperimentConfig
from spane_rllib.experiments.strict_yaml import parse_yaml, write_yaml
from spane_rllib.experiments.trials import draw_trials
from spane_rllib.settings import Section, Settings, first_error, key_path, suggestion, user_error

MAX_BYTES = 256 * 1024
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
    path = _find(source, presets)
    where = _display(path)
    data = parse_yaml(_read(path), where)
    if not isinstance(data, dict):
        required = [f"{key}: ..." for key, field in kind.model_fields.items() if field.is_required()]
        raise UserError(f"{where}: must hold keys and values ({', '.join(required)})")
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
    return sorted({path.stem for path in _preset_folder().glob("*.yaml")} - {*STUDY_PRESETS, *SEARCH_PRESETS})


def _preset_folder() -> Path:
    package = Path(__file__).resolve().parents[1]
    installed = package / "tune_configs"  # a wheel carries them inside the package
    return installed if installed.is_dir() else package.parent / "tune_configs"


def _find(source: str | os.PathLike[str], presets: Sequence[str]) -> Path:
    path = Path(source)
    name = path.name.removesuffix(".yaml")
    try:
        if path.is_file():
            return path
        if path.name == str(path) and name in presets:
            return _preset_folder() / f"{name}.yaml"
        if path.is_dir():
            raise UserError(
                one_line(f"{path}: is a folder; name a YAML file or a preset: {', '.join(presets)}")
            )
    except (OSError, ValueError) as error:  # no permission, a name too long, a NUL in it
        raise UserError(f"cannot read {str(path)[:200]!r}: {getattr(error, 'strerror', error)}") from error
    hint = suggestion(name, presets)
    raise UserError(one_line(f"{str(path)!r}: no such file, and no such preset; {hint}"))


def _display(path: Path) -> str:
    here = Path.cwd()
    return one_line(str(path.relative_to(here) if path.is_relative_to(here) else path))


def _read(path: Path) -> str:
    where = _display(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {where}: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise UserError(f"{where}: larger than {MAX_BYTES // 1024} KiB; not an experiment file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{where}: not text in UTF-8 (byte {error.start}); not an experiment file") from error
    if not text.strip():
        raise UserError(f"{where}: the file is empty")
    return text


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
