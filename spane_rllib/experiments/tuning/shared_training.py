"""Hyper-parameters that the methods of an experiment share, by algorithm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from spane_rllib.core.settings import Settings
from spane_rllib.core.words import suggestion


def shared_training(sections: Mapping[str, type[Settings]], given: Any) -> dict[str, Settings]:
    """The section of every algorithm in use, with what `given` says of it.

    A key of `given` is a hyper-parameter that all these algorithms must have, so that none is ignored, or the
    name of an algorithm with keys of its own.

    Args:
        sections: hyper-parameters by name of the algorithm.
        given: as it stands in a file.

    Raises:
        ValidationError: a key is unknown to an algorithm, is given twice, or has a value that is not allowed.
    """
    if not isinstance(given, Mapping):
        raise _refused([((), given, "must be a mapping of keys to values", "value_error")])
    own = {name: given[name] for name in sections if name in given}
    common = {key: value for key, value in given.items() if key not in sections}
    for key in common:
        without = [name for name, section in sections.items() if key not in section.model_fields]
        if len(without) == len(sections):
            allowed = dict.fromkeys(field for section in sections.values() for field in section.model_fields)
            raise _refused(
                [((key,), given[key], f"unknown key; {suggestion(str(key), allowed)}", "unknown_key")]
            )
        if without:
            others = ", ".join(f"training.{name}" for name in sections if name not in without)
            text = f"{without[0]} trains some methods and has no such key; write it under {others}"
            raise _refused([((key,), given[key], text, "value_error")])
    shared = {}
    for name, section in sections.items():
        values = own.get(name, {})
        if not isinstance(values, Mapping):
            raise _refused([((name,), values, "must be a mapping of keys to values", "value_error")])
        if twice := [key for key in values if key in common]:
            text = f"is given as training.{name}.{twice[0]} too; leave one of them out"
            raise _refused([((twice[0],), common[twice[0]], text, "value_error")])
        try:
            shared[name] = section.model_validate({**common, **values})
        except ValidationError as error:
            raise _refused(
                [
                    (
                        (name, *details["loc"])
                        if details["loc"][:1] and details["loc"][0] in values
                        else details["loc"],
                        details["input"],
                        details["msg"],
                        details["type"],
                    )
                    for details in error.errors(include_url=False)
                ]
            ) from error
    return shared


def _refused(problems: list[tuple[tuple[Any, ...], Any, str, str]]) -> ValidationError:
    """An error that pydantic adds to its own: where, what is there, why, and pydantic's kind of error."""
    return ValidationError.from_exception_data(
        "training",
        [
            InitErrorDetails(
                type=PydanticCustomError(kind, "{message}", {"message": message}),
                loc=where,
                input=value,
            )
            for where, value, message, kind in problems
        ],
    )
