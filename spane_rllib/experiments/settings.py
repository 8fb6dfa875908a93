"""The base of every typed configuration section, and one-line messages for what does not fit it."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError


class Settings(BaseModel):
    """A frozen section: unknown keys, values of another type ("5" for 5) and infinities are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        # Ahead of pydantic's own check, which can name neither the nearest key nor the allowed ones.
        unknown = [key for key in data if key not in cls.model_fields] if isinstance(data, dict) else []
        if unknown:
            raise ValidationError.from_exception_data(
                cls.__name__,
                [
                    InitErrorDetails(
                        type=PydanticCustomError(
                            "unknown_key",
                            "unknown key; {hint}",
                            {"hint": suggestion(str(key), cls.model_fields)},
                        ),
                        loc=(key,),
                        input=data[key],
                    )
                    for key in unknown
                ],
            )
        return data


def suggestion(word: str, allowed: Iterable[str]) -> str:
    """`did you mean X? allowed: X, Y`, the first half only when an allowed word is near."""
    allowed = list(allowed)
    near = difflib.get_close_matches(word[:100], allowed, n=1)
    return (f"did you mean {near[0]}? " if near else "") + f"allowed: {', '.join(allowed)}"


def one_line(message: str) -> str:
    """`message` without line breaks, runs of spaces and characters that a terminal would act on."""
    text = " ".join(message.split())
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def key_path(error: ErrorDetails) -> str:
    """Where an error is, as the user writes it: `methods.spane.training.learning_rate`."""
    # "[key]" is pydantic's mark for an invalid key of a mapping.
    return ".".join(str(part) for part in error["loc"] if part != "[key]")


def first_error(error: ValidationError) -> ErrorDetails:
    """The error to report first. Unknown keys lead: they are often the cause of the others."""
    return min(error.errors(include_url=False), key=lambda details: details["type"] != "unknown_key")


_EXPECTED = {
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "finite_number": "must be a finite number",
    "model_type": "must be a mapping of keys to values",
    "dict_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "too_short": "must not be empty",
    "string_pattern_mismatch": "must be a path without control characters",
}


def explain(error: ErrorDetails) -> str:
    """One line: the key, what is wrong with its value, and what is allowed there."""
    kind, path = error["type"], key_path(error)
    if kind == "missing":
        text = "missing; this key has no default"
    elif kind in ("value_error", "unknown_key"):
        text = error["msg"].removeprefix("Value error, ")
    else:
        expected = _EXPECTED.get(kind, error["msg"].replace("Input should", "must", 1))
        text = f"{expected}, got {reprlib.repr(error['input'])}"
        if kind in ("int_type", "float_type") and isinstance(error["input"], dict):
            text += "; search distributions belong under methods.<name>.options or .training"
    return one_line(f"{path}: {text}" if path else text)
