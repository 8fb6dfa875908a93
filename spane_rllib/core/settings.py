"""The base of typed settings, and one-line messages for input that does not fit them."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, Strict, ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.words import suggestion

Share = Annotated[float, Field(ge=0, le=1)]


def _check_name(name: str) -> str:
    # Names become folder names, and a dot separates the keys of `--set`.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name):
        raise ValueError(
            f"{name[:120]!r} must be 1 to 100 letters, digits, _ or -, the first a letter or digit"
        )
    return name


def _check_path(path: str) -> str:
    # Line breaks and control characters are no names of files, and YAML does not keep all of them.
    if not path or re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", path):
        raise ValueError(f"must be a path without control characters, got {reprlib.repr(path)}")
    return path


def _check_interval(interval: tuple[float, float]) -> tuple[float, float]:
    if not interval[0] < interval[1]:
        raise ValueError(f"must be [from, to] with from < to, got {list(interval)}")
    return interval


Name = Annotated[str, AfterValidator(_check_name)]
PathText = Annotated[str, AfterValidator(_check_path)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Interval = Annotated[tuple[Share, Share], Strict(False), AfterValidator(_check_interval)]


class Settings(BaseModel):
    """A frozen section: unknown keys, values of another type ("5" for 5) and infinities are refused."""

    model_config = ConfigDict(extra="forbid", defer_build=True, frozen=True, strict=True, allow_inf_nan=False)

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


Section = TypeVar("Section", bound=Settings)


def validated(section: type[Section], data: object, where: str = "") -> Section:
    """`data` as a `section`; raises what `user_error` makes of the first problem."""
    try:
        return section.model_validate(data)
    except ValidationError as error:
        raise user_error(error, where) from error


def distinct(items: tuple[Any, ...]) -> tuple[Any, ...]:
    """`items`; a validator of pydantic that refuses repetitions."""
    if len(set(items)) < len(items):
        raise ValueError(f"must not repeat an item, got {list(items)}")
    return items


def one_of(word: str, allowed: Iterable[str]) -> str:
    """`word`; a validator of pydantic that refuses what is not among the `allowed`."""
    allowed = list(allowed)
    if word not in allowed:
        raise ValueError(f"{reprlib.repr(word)} is unknown; {suggestion(word, allowed)}")
    return word


def key_path(error: ErrorDetails) -> str:
    """Where an error is, as the user writes it: `methods.spane.training.learning_rate`."""
    # "[key]" is pydantic's mark for an invalid key of a mapping.
    parts = [str(part)[:100] for part in error["loc"] if part != "[key]"]
    return ".".join(part if part.isprintable() else ascii(part) for part in parts)


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
}


def user_error(error: ValidationError, where: str = "") -> UserError:
    """The first problem in one line: `where` (a file, a section), the key, and what is allowed there."""
    text = one_line(_explain(first_error(error)))
    return UserError(f"{where}: {text}" if where else text)


def _explain(error: ErrorDetails) -> str:
    kind, path = error["type"], key_path(error)
    if kind == "missing":
        text = "missing; this key has no default"
    elif kind in ("value_error", "unknown_key", "json_invalid"):
        text = error["msg"].removeprefix("Value error, ")
    else:
        expected = _EXPECTED.get(kind) or re.sub(r"^\w+ should", "must", error["msg"])
        text = f"{expected}, got {_abridged(error['input'])}"
    return f"{path}: {text}" if path else text


def _abridged(value: Any) -> str:
    try:
        return reprlib.repr(value)
    except ValueError:  # Python refuses to write whole numbers of more than 4300 digits
        return "a number of thousands of digits"


def placed(**after: str) -> Callable[[type[Section]], type[Section]]:
    """A decorator of sections that add fields to another: each of these comes right after the one named.

    Fields of a subclass would come last, but the order is that of pages and files people read.
    """

    def place(section: type[Section]) -> type[Section]:
        fields = section.__pydantic_fields__
        names = list(fields)
        for name, before in after.items():
            names.remove(name)
            names.insert(names.index(before) + 1, name)
        ordered = {name: fields[name] for name in names}
        fields.clear()
        fields.update(ordered)
        section.model_rebuild(force=True)
        return section

    return place
