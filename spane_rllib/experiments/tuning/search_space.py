"""Search distributions: what a key may hold in place of a value, and sections whose keys may all do so."""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from pydantic import ValidatorFunctionWrapHandler, create_model, field_validator

from spane_rllib.core.settings import Settings
from spane_rllib.core.words import suggestion

# The names are those of `ray.tune`'s sampling functions.
KINDS = {
    "choice": "one of the listed values, each as likely",
    "grid": "every listed value in turn; several grids are fully crossed",
    "uniform": "a number between low and high",
    "loguniform": "a number between low and high, its logarithm uniform; low must be positive",
    "randint": "a whole number from low to high, both included",
}


@dataclass(frozen=True)
class Distribution:
    """A distribution over the values of one key, written `{kind: [...]}`.

    Args:
        kind: one of `KINDS`.
        values: the candidates of `choice` and `grid`; `(low, high)` of the others.
    """

    kind: str
    values: tuple[Any, ...]

    @classmethod
    def parse(cls, mapping: dict[str, Any]) -> Distribution:
        """Read `{kind: [...]}`; raises `ValueError` with a one-line reason."""
        if len(mapping) != 1:
            raise ValueError(f"a search distribution has exactly one of the keys {', '.join(KINDS)}")
        [(kind, values)] = mapping.items()
        if kind not in KINDS:
            raise ValueError(f"unknown search distribution {kind!r}; {suggestion(kind, KINDS)}")
        if not isinstance(values, list | tuple) or not values:
            raise ValueError(f"{kind} needs a list with at least one item")
        if kind in ("choice", "grid"):
            return cls(kind, tuple(values))
        number = int if kind == "randint" else (int, float)
        if len(values) != 2 or not all(isinstance(v, number) and not isinstance(v, bool) for v in values):
            raise ValueError(f"{kind} needs [low, high], two {'whole ' if kind == 'randint' else ''}numbers")
        low, high = values
        if not low < high:
            raise ValueError(f"{kind} needs low < high, got {reprlib.repr(list(values))}")
        if kind == "loguniform" and low <= 0:
            raise ValueError(f"loguniform needs low > 0, got {reprlib.repr(low)}")
        try:
            return cls(kind, (low, high) if kind == "randint" else (float(low), float(high)))
        except OverflowError:
            raise ValueError(f"{kind} needs numbers below 1e308") from None

    def sample(self, rng: np.random.Generator) -> Any:
        """Draw one value; a `grid` is enumerated instead and must not come here."""
        low, high = self.values[0], self.values[-1]
        match self.kind:
            case "choice":
                return self.values[rng.integers(len(self.values))]
            case "randint":
                return int(rng.integers(low, high, endpoint=True))
            case "uniform":
                return float(rng.uniform(low, high))
            case "loguniform":
                # Rounding in exp() may leave the range by one unit in the last place.
                return min(max(math.exp(rng.uniform(math.log(low), math.log(high))), low), high)
        raise ValueError(f"{self.kind} is not sampled")


def written(leaf: Any) -> Any:
    """A value or `Distribution` as it stands in a file: plain values, lists and `{kind: [...]}`."""
    if isinstance(leaf, Distribution):
        return {leaf.kind: written(leaf.values)}
    return [written(item) for item in leaf] if isinstance(leaf, tuple) else leaf


class _SearchedSettings(Settings):
    @field_validator("*", mode="wrap", check_fields=False)
    @classmethod
    def _value_or_distribution(cls, value: Any, validate: ValidatorFunctionWrapHandler) -> Any:
        if isinstance(value, dict):
            value = Distribution.parse(value)
        if not isinstance(value, Distribution):
            return validate(value)
        # Both ends of a range stand for all of it: the keys' own ranges are intervals.
        return Distribution(value.kind, tuple(validate(candidate) for candidate in value.values))


@cache
def _searched(section: type[Settings]) -> type[_SearchedSettings]:
    fields: dict[str, Any] = {name: (field.annotation, field) for name, field in section.model_fields.items()}
    return create_model(f"Searched{section.__name__}", __base__=_SearchedSettings, **fields)


def validate_search_space(section: type[Settings], space: Any) -> dict[str, Any]:
    """The keys of `section` that `space` sets, each a valid value or a `Distribution` over valid values.

    Keys come in the order of `section`, so draws do not depend on the order in the file. Rules that involve
    several keys are not checked here but on each drawn combination. Raises `pydantic.ValidationError`.
    """
    validated = _searched(section).model_validate(space)
    return {
        name: getattr(validated, name) for name in section.model_fields if name in validated.model_fields_set
    }
