"""Counters in the text format of Prometheus; those of several processes add up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Sample = tuple[str, tuple[tuple[str, str], ...]]
"""Name and labels."""

_HELP = {
    "spane_rllib_requests_total": ("counter", "Requests by path and HTTP status."),
    "spane_rllib_placements_total": ("counter", "Decisions: placed, or nowhere where nothing had room."),
    "spane_rllib_shadow_total": ("counter", "Decisions beside what was really done, by whether they agree."),
    "spane_rllib_decision_seconds": ("histogram", "Time of a decision of the policy."),
}
_BUCKETS = (1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 0.1, 1.0)


class Counters:
    """What was counted in one process."""

    def __init__(self) -> None:
        self.values: Counter[Sample] = Counter()

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """Count `amount` more of `spane_rllib_<name>`."""
        self.values[f"spane_rllib_{name}", tuple(labels.items())] += amount  # type: ignore[assignment]

    def observe(self, name: str, seconds: float) -> None:
        """Count a duration in the histogram `spane_rllib_<name>`."""
        for bound in _BUCKETS:
            self.add(f"{name}_bucket", float(seconds <= bound), le=f"{bound:g}")
        self.add(f"{name}_bucket", le="+Inf")
        self.add(f"{name}_sum", seconds)
        self.add(f"{name}_count")


def metrics_text(counters: Iterable[Counter[Sample]]) -> str:
    """The sums of counters as Prometheus reads them."""
    total: Counter[Sample] = Counter()
    for values in counters:
        total.update(values)
    lines = []
    for family, (kind, text) in _HELP.items():
        lines += [f"# HELP {family} {text}", f"# TYPE {family} {kind}"]
        for (name, labels), value in total.items():
            if name == family or (kind == "histogram" and name.startswith(f"{family}_")):
                inside = ",".join(f'{label}="{text}"' for label, text in labels)
                lines.append(f"{name}{{{inside}}} {value:.12g}" if inside else f"{name} {value:.12g}")
    return "\n".join(lines) + "\n"
