"""The heuristics by name, free of numba so that a configuration is checked without it."""

from __future__ import annotations

import reprlib
from typing import Annotated

from pydantic import AfterValidator, Field

from spane_rllib.core.words import suggestion

HEURISTICS: dict[str, str] = {
    "first-fit": "the lowest slot that fits",
    "best-fit": "the fullest node (small VMs) or server (double VMs) that fits",
    "worst-fit": "the emptiest node (small VMs) or server (double VMs) that fits",
    "balance-fit": "small VMs go to the roomier node of the most unbalanced server, double VMs first fit",
    "random": "any slot that fits, each with the same chance",
    "move-to-front": "the slot used last if it fits, else first fit",
    "sbf": "server best fit: the fullest server that fits, there the roomier node",
    "fgd": "fragmentation gradient: lose the least weighted capacity for the flavours of the trace",
    "keep-64": "keep servers that could still host a 64 cpu x 128 GiB VM, then server best fit",
    "best-fit-vmagent": "what VMAgent publishes as BestFit, a worst fit: the node left emptiest",
}
"""What each does. The compiled rules number them in this order."""

LIFETIME_HEURISTICS: dict[str, str] = {
    "nilas": "exit-time alignment: the server whose becoming empty is put off least, then server best fit",
    "keep-64-exit": "keep-64, with exit-time alignment ahead of server best fit",
}
"""Those that need lifetimes to be known or predicted."""


def _check(name: str) -> str:
    if name not in HEURISTICS:
        raise ValueError(f"{reprlib.repr(name)} is not a heuristic; {suggestion(name, HEURISTICS)}")
    return name


HeuristicName = Annotated[str, AfterValidator(_check), Field(json_schema_extra={"enum": list(HEURISTICS)})]
"""The type of a key that names one."""
