"""What is in a trace: sizes, lifetimes, arrivals, and the load if every VM started when it arrives."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from spane_rllib.core.console import format_table
from spane_rllib.core.files import replacing
from spane_rllib.datasets.vm_traces.trace import Column, VmTrace

DAY_S = 86_400.0
MOST_DAYS = 3660
"""Longer traces get no table by day."""


@dataclass(frozen=True)
class Flavour:
    """VMs of one size: CPU cores, memory in GiB, how many, their share, median lifetime in seconds."""

    cpu: float
    memory: float
    count: int
    share: float
    median_lifetime: float


@dataclass(frozen=True)
class Load:
    """Demand over the time of arrivals, weighted by time: of all of it, and the mean of each day (if few)."""

    minimum: float
    median: float
    maximum: float
    daily_mean: list[float]


@dataclass(frozen=True)
class TraceDescription:
    """Summary of a trace; times in seconds, statistics of lifetimes over VMs that end."""

    name: str
    sha256: str
    vms: int
    never_ending: int
    flavours: list[Flavour]
    lifetime_quartiles: tuple[float, float, float]
    lifetime_mean: float
    lifetime_maximum: float
    first_arrival: float
    arrival_span: float
    arrivals_per_hour: float
    same_second_share: float
    load: dict[str, Load]

    def to_json(self) -> str:
        """The description as JSON; infinite values become null."""
        finite = json.loads(json.dumps(asdict(self)), parse_constant=lambda name: None)
        return json.dumps(finite, indent=2)

    def to_text(self) -> str:
        """The description as tables."""
        q1, q2, q3 = self.lifetime_quartiles
        ending = f", {self.never_ending:,} of them without an end" if self.never_ending else ""
        flavours = [
            (f"{f.cpu:g} x {f.memory:g}", f"{f.count:,}", f"{f.share:.2%}", f"{f.median_lifetime:,.0f}")
            for f in self.flavours
        ]
        load = [
            (name, *(f"{v:,.0f}" for v in (part.minimum, part.median, part.maximum)))
            for name, part in self.load.items()
        ]
        days = zip(*(part.daily_mean for part in self.load.values()), strict=True)
        daily = [(day, *(f"{value:,.0f}" for value in values)) for day, values in enumerate(days)]
        return "\n".join(
            [
                f"{self.name}: {self.vms:,} VMs{ending}",
                f"content sha256: {self.sha256}",
                f"arrivals: {self.arrival_span:,.0f} s ({self.arrival_span / DAY_S:.1f} days) from second "
                f"{self.first_arrival:,.0f}, {self.arrivals_per_hour:,.1f} per hour, "
                f"{self.same_second_share:.1%} in the same second as the one before",
                f"lifetimes (s): quartiles {q1:,.0f} / {q2:,.0f} / {q3:,.0f}, mean "
                f"{self.lifetime_mean:,.0f}, maximum {self.lifetime_maximum:,.0f}",
                "",
                format_table(("CPU x GiB", "VMs", "share", "median lifetime (s)"), flavours),
                "",
                "demand if every VM started when it arrives:",
                format_table(("", "minimum", "median", "maximum"), load),
                "",
                "mean demand by day:",
                format_table(("day", *self.load), daily),
            ]
        )


def describe(trace: VmTrace) -> TraceDescription:
    """Summarise a trace of at least one VM."""
    lifetimes = trace.lifetime[np.isfinite(trace.lifetime)]
    quartiles = np.percentile(lifetimes, [25, 50, 75]) if len(lifetimes) else np.full(3, np.inf)
    span = float(trace.arrival[-1] - trace.arrival[0])
    demands = {"running VMs": np.ones(len(trace)), "CPU": trace.cpu, "memory (GiB)": trace.memory}
    return TraceDescription(
        name=trace.name,
        sha256=trace.sha256,
        vms=len(trace),
        never_ending=len(trace) - len(lifetimes),
        flavours=_flavours(trace),
        lifetime_quartiles=(float(quartiles[0]), float(quartiles[1]), float(quartiles[2])),
        lifetime_mean=float(lifetimes.mean()) if len(lifetimes) else float("inf"),
        lifetime_maximum=float(lifetimes.max()) if len(lifetimes) else float("inf"),
        first_arrival=float(trace.arrival[0]),
        arrival_span=span,
        arrivals_per_hour=len(trace) / max(span, 1.0) * 3600,
        same_second_share=float(np.mean(np.diff(trace.arrival) == 0)) if len(trace) > 1 else 0.0,
        load={name: _load(trace, demand) for name, demand in demands.items()},
    )


def _flavours(trace: VmTrace) -> list[Flavour]:
    sizes, which, counts = np.unique(
        np.stack([trace.cpu, trace.memory], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    flavours = [
        Flavour(
            float(cpu),
            float(memory),
            int(count),
            count / len(trace),
            float(np.median(trace.lifetime[which == i])),
        )
        for i, ((cpu, memory), count) in enumerate(zip(sizes, counts, strict=True))
    ]
    return sorted(flavours, key=lambda flavour: -flavour.count)


def demand_steps(trace: VmTrace, demand: Column) -> tuple[Column, Column]:
    """The sum of `demand` (n,) over running VMs as a step function: times (m,), value from each time on (m,).

    Ends after the last arrival are left out.
    """
    ends = trace.arrival + trace.lifetime
    within = ends <= trace.arrival[-1]
    times = np.concatenate([trace.arrival, ends[within]])
    changes = np.concatenate([demand, -demand[within]])
    moments, which = np.unique(times, return_inverse=True)
    return moments, np.cumsum(np.bincount(which, weights=changes))


def _load(trace: VmTrace, demand: Column) -> Load:
    times, values = demand_steps(trace, demand)
    if len(times) == 1:
        return Load(values[0], values[0], values[0], [float(values[0])])
    widths = np.diff(times)
    order = np.argsort(values[:-1])
    weight = np.cumsum(widths[order])
    median = values[order[np.searchsorted(weight, weight[-1] / 2)]]
    return Load(float(values.min()), float(median), float(values.max()), _daily_means(times, values))


def _daily_means(times: Column, values: Column) -> list[float]:
    """Time-weighted mean of each day (counted from second 0) that the step function touches."""
    if times[-1] - times[0] > MOST_DAYS * DAY_S:
        return []
    area = np.concatenate([[0.0], np.cumsum(np.diff(times) * values[:-1])])
    days = np.arange(np.floor(times[0] / DAY_S), np.floor(times[-1] / DAY_S) + 2) * DAY_S
    edges = np.clip(days, times[0], times[-1])
    widths = np.diff(edges)
    areas = np.diff(np.interp(edges, times, area))
    return [float(a / w) for a, w in zip(areas, widths, strict=True) if w > 0]


def plot(trace: VmTrace, path: str | os.PathLike[str]) -> None:
    """Draw the demand over time (VMs, CPU, memory) and the distribution of lifetimes into an image file."""
    from matplotlib.figure import Figure

    from spane_rllib.core.plotting import check_drawable, write_plainly

    check_drawable(path)
    figure = Figure(figsize=(10, 7), layout="constrained")
    panels: npt.NDArray[Any] = figure.subplots(2, 2)
    demands = (("running VMs", np.ones(len(trace))), ("CPU cores", trace.cpu), ("memory (GiB)", trace.memory))
    for axes, (label, demand) in zip(panels.flat, demands, strict=False):
        times, values = demand_steps(trace, demand)
        axes.plot(times / DAY_S, values, drawstyle="steps-post", linewidth=0.8)
        axes.set(xlabel="day", ylabel=label, title=f"demand: {label}", ylim=(0, None))
    ending = np.sort(trace.lifetime[np.isfinite(trace.lifetime)])
    panels[1, 1].plot(ending, np.arange(1, len(ending) + 1) / len(trace))
    panels[1, 1].set(
        xscale="log", xlabel="lifetime (s)", ylabel="share of VMs", title="lifetimes", ylim=(0, 1)
    )
    figure.suptitle(f"{trace.name}: {len(trace):,} VMs")
    write_plainly(figure)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)
