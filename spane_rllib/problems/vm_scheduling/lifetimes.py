"""What a scheduler is told about how long VMs will run: nothing, a prediction with noise, or the truth.

Free of numba, so that a configuration is checked without it.
"""

from __future__ import annotations

import math
import reprlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator

from spane_rllib.core.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FORMS: dict[str, str] = {
    "unknown": "nothing is known",
    "predicted:NOISE": "the lifetime times a log-normal factor, one standard deviation being 1 + NOISE",
    "known": "the lifetime itself",
}
"""What `parse_lifetimes` takes, with one line for people."""

_MAX_NOISE = 1000.0
_SEED = 20_412
"""Predictions are data like the trace: the same in every run, for every policy and at every noise."""


@dataclass(frozen=True)
class Lifetimes:
    """What is known of lifetimes when a VM arrives.

    Args:
        text: as `parse_lifetimes` takes it.
        noise: None where nothing is known; 0 for the truth; 0.5 where a prediction is typically wrong by a
            factor of 1.5: log(prediction / lifetime) is normal with standard deviation log(1 + noise).
    """

    text: str = "unknown"
    noise: float | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything is known."""
        return self.noise is not None

    @property
    def sigma(self) -> float:
        """Standard deviation of log(prediction / lifetime)."""
        return math.log1p(self.noise or 0.0)

    def of(self, lifetimes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """(n,) what the scheduler is told of (n,) true lifetimes, seconds; the truth where nothing is known.

        Who needs estimates all the same, as reservations do, is told the truth then.
        """
        import numpy as np

        if not self.noise:
            return np.ascontiguousarray(lifetimes)
        drawn = np.random.default_rng(_SEED).standard_normal(len(lifetimes))
        return lifetimes * np.exp(self.sigma * drawn)


UNKNOWN = Lifetimes()


def parse_lifetimes(text: str) -> Lifetimes:
    """What `text` says is known; `Lifetimes.text` is its one spelling.

    Raises:
        UserError: it says nothing of the kind.
    """
    if isinstance(text, str):
        name, colon, argument = text.partition(":")
        if text == "unknown":
            return UNKNOWN
        if text == "known":
            return Lifetimes("known", 0.0)
        if name == "predicted" and colon and (noise := _noise(argument)) is not None:
            return Lifetimes(f"predicted:{noise:.15g}", noise)
    raise UserError(
        f"lifetimes: {reprlib.repr(text)} is none of {', '.join(FORMS)} "
        f"(NOISE: a number above 0 and up to {_MAX_NOISE:g}; 0.5 is a typical error of 50%)"
    )


def _noise(text: str) -> float | None:
    if not text.isascii() or text != text.strip() or "_" in text:
        return None
    try:
        noise = float(text)
    except ValueError:
        return None
    return noise if 0 < noise <= _MAX_NOISE else None


def _canonical(text: str) -> str:
    try:
        return parse_lifetimes(text).text
    except UserError as error:
        raise ValueError(str(error).removeprefix("lifetimes: ")) from error


LifetimesText = Annotated[str, AfterValidator(_canonical)]
"""The type of a key that says so."""
