"""Configurations as files: YAML with overrides, and writing them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.settings import Settings, first_error, key_path, user_error
from spane_rllib.core.strict_yaml import parse_yaml, write_yaml
from spane_rllib.core.yaml_files import find_yaml, read_mapping
from spane_rllib.problems.problem import Problem
from spane_rllib.problems.registry import find_problem, marked_problem, marks

Section = TypeVar("Section", bound=Settings)


def problem_of(data: Mapping[str, Any]) -> Problem:
    """The problem that a configuration is about: what `problem` names, or else its other keys mean.

    Raises:
        UserError: it names none.
    """
    name = data.get("problem")
    if name is None:
        return marked_problem(key for key, value in data.items() if value is not None)
    if not isinstance(name, str):
        raise UserError(f"problem: must be the name of one, got {one_line(repr(name))}")
    return find_problem(name)


def read_settings(
    kind: Callable[[Mapping[str, Any]], type[Section]],
    source: str | os.PathLike[str],
    overrides: Iterable[str],
    presets: Mapping[str, Path],
    mapping_hint: str = "",
) -> tuple[Section, str]:
    """A YAML file or one of `presets`, with overrides, and what messages call its place.

    Args:
        kind: the class of the settings that the file holds.
        source: path or name.
        overrides: `section.key=value` each, the value in YAML; they win over the file.
        presets: files by name.
        mapping_hint: added where a mapping stands for a number.

    Raises:
        UserError: anything of it is invalid.
    """
    required = [f"{key}: ..." for key, field in kind({}).model_fields.items() if field.is_required()]
    where, data = read_mapping(find_yaml(source, presets), ", ".join(required))
    overridden = []
    for override in overrides:
        key, value = _parse_override(override)
        _assign(data, key, value)
        overridden.append(key)
    try:
        section = kind(data)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    # Null says that a configuration is not about the problem that the key would mean.
    data = {
        key: value
        for key, value in data.items()
        if value is not None or key in section.model_fields or key not in marks()
    }
    try:
        return section.model_validate(data), where
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
