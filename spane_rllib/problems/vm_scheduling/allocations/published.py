"""The published VMAgent table (github.com/mail-ecnu/VMAgent) beside ours, by the same protocol.

Two things in the published code differ from its description, so ours is played both ways:

- as run: "BestFit" is a worst fit (`best-fit-vmagent`), and nothing is deleted in Recovering either, since a
  truth value is compared with the text 'True';
- as described: a best fit, and deleted VMs give back what they used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spane_rllib.core.console import format_table
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.problem import Case, Part
from spane_rllib.problems.vm_scheduling.allocations.scenario import load_scenario
from spane_rllib.problems.vm_scheduling.allocations.task import AllocationEvaluation, AllocationTask
from spane_rllib.problems.vm_scheduling.allocations.workload import compile_allocations
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy, Policy, Rows

if TYPE_CHECKING:
    import pandas as pd

PUBLISHED = {
    ("fading", 5, "BF"): ("211.7 ± 30", "91.6 ± 9.4", "83.6 ± 9.2"),
    ("fading", 5, "FF"): ("224.5 ± 28", "98.3 ± 1.9", "90.0 ± 1.9"),
    ("fading", 20, "BF"): ("735.1 ± 83", "63.5 ± 29.2", "35.7 ± 21.9"),
    ("fading", 20, "FF"): ("888.0 ± 65", "91.6 ± 8.5", "64.7 ± 5.6"),
    ("fading", 50, "BF"): ("1674.5 ± 28", "91.6 ± 1.1", "84.3 ± 1.0"),
    ("fading", 50, "FF"): ("2298.3 ± 19", "95.5 ± 0.7", "91.5 ± 0.5"),
    ("recovering", 5, "BF"): ("221.1 ± 29", "96.3 ± 5.6", "88.1 ± 5.7"),
    ("recovering", 5, "FF"): ("222.7 ± 27", "97.2 ± 3.4", "89.0 ± 3.4"),
    ("recovering", 20, "BF"): ("850.0 ± 13", "99.1 ± 0", "95.8 ± 0"),
    ("recovering", 20, "FF"): ("926.1 ± 10", "98.7 ± 0.5", "96.5 ± 0.3"),
    ("recovering", 50, "BF"): ("1829.6 ± 37", "92.8 ± 1.4", "88.8 ± 0.2"),
    ("recovering", 50, "FF"): ("2301.7 ± 19", "95.0 ± 0.5", "91.1 ± 0.4"),
}
"""Allocations, terminated CPU rate and terminated memory rate (%), by scenario, servers and method."""
PUBLISHED_VMS = 125_430
AS_RUN = {"FF": "first-fit", "BF": "best-fit-vmagent"}
AS_DESCRIBED = {"FF": "first-fit", "BF": "best-fit"}
_WITHOUT_DELETIONS = "{} without deletions"
_NAMES = {name for name, _, _ in PUBLISHED}
_FIRST_EVENT, _LAST_EVENT = 1000, 9999


def published_starts(trace: VmTrace, count: int, seed: int) -> Rows:
    """Starts as VMAgent draws them: events 1000 to 9999 of the trace, or the first creation after one.

    Raises:
        UserError: the trace has fewer events.
    """
    deletion_rows = compile_allocations(trace, load_scenario("recovering")).arrays.end_time
    creations = np.arange(len(trace) - 1)  # the last row is no start
    events = creations + np.searchsorted(deletion_rows, creations, side="right")
    if events[-1] < _LAST_EVENT:
        raise UserError(
            f"{trace.name}: {len(trace):,} VMs are too few for the published table, whose episodes start "
            "in the first of at least 10,000 events; use a longer trace"
        )
    drawn = np.random.default_rng(seed).integers(_FIRST_EVENT, _LAST_EVENT + 1, count)
    return np.searchsorted(events, drawn)


class PublishedEvaluation(AllocationEvaluation):
    """The episodes of every scenario, number of servers and heuristic of the table, both ways.

    Args:
        task: on the trace; its scenario does not matter.
        episodes, seed: how many starts are drawn, and how.
    """

    policies = tuple(
        HeuristicPolicy(name) for name in dict.fromkeys([*AS_RUN.values(), *AS_DESCRIBED.values()])
    )

    def __init__(self, task: AllocationTask, episodes: int, seed: int) -> None:
        starts = published_starts(task.trace, episodes, seed)
        super().__init__(task, None, starts, seed=0)
        self._scenarios = {}
        self._called: dict[Case, str] = {}
        for name, servers in dict.fromkeys(key[:2] for key in PUBLISHED):
            described = load_scenario(name).with_servers(servers)
            for way, scenario in (
                (_WITHOUT_DELETIONS.format(name), described.model_copy(update={"deletions": False})),
                (name, described),
            ):
                case = f"{way}, {servers} servers"
                self._scenarios[case], self._called[case] = scenario, way
        self.cases = tuple(self._scenarios)

    def refusal(self, policy: Policy, case: Case) -> str:
        """Each way has its own heuristics."""
        played = AS_DESCRIBED if self._called[case] in _NAMES else AS_RUN
        return "" if policy.name in played.values() else "is not part of the table"

    def _identity(self, case: Case) -> dict[str, Any]:
        # In Fading both ways are the same scenario, by another name.
        return super()._identity(case) | {"called": self._called[case]}

    def play(self, part: Part, first: int, last: int) -> pd.DataFrame:
        frame = super().play(part, first, last)
        return frame.assign(scenario=self._called[part.case])

    def summary_text(self, summary: pd.DataFrame) -> str:
        """The published figures beside ours."""
        return f"{comparison_table(summary)}\n\n{differences(self.task.trace)}"


def comparison_table(summary: pd.DataFrame) -> str:
    """The published figures beside ours, as text; `summary` is that of all episodes."""
    ours = {(row.scenario, row.servers, row.policy): row for row in summary.itertuples(index=False)}

    def figures(scenario: str, servers: int, policy: str) -> tuple[str, str, str]:
        row = ours[scenario, servers, policy]
        return (
            f"{row.allocations_mean:.1f} ± {row.allocations_std:.0f}",
            f"{100 * row.cpu_rate_mean:.1f} ± {100 * row.cpu_rate_std:.1f}",
            f"{100 * row.memory_rate_mean:.1f} ± {100 * row.memory_rate_std:.1f}",
        )

    names = [
        f"{of}: {figure}"
        for of in ("published", "as run", "as described")
        for figure in ("VMs", "CPU %", "MEM %")
    ]
    rows = [
        (
            scenario,
            servers,
            method,
            *published,
            *figures(_WITHOUT_DELETIONS.format(scenario), servers, AS_RUN[method]),
            *figures(scenario, servers, AS_DESCRIBED[method]),
        )
        for (scenario, servers, method), published in PUBLISHED.items()
    ]
    return format_table(("scenario", "servers", "method", *names), rows)


def differences(trace: VmTrace) -> str:
    """What sets ours and the published figures apart, one line each."""
    missing = PUBLISHED_VMS - len(trace)
    lines = [
        "BF as run is what VMAgent calls BestFit, a worst fit; as described it is a best fit.",
        "Recovering as run deletes nothing, as VMAgent's training and baselines; as described it does.",
        f"Published: {PUBLISHED_VMS:,} VMs of Huawei-East-1; ours: {trace.name}, {len(trace):,} VMs"
        + (f", {missing:,} fewer: VMs that are never deleted may be missing." if missing > 0 else "."),
        "± is the standard deviation over episodes here; the published one is not defined, and its CPU and "
        "MEM rates divide by the number of processes where the number of servers belongs.",
        "Starts are drawn from events 1000 to 9999; VMAgent plays 50 of them that it does not name.",
    ]
    return "\n".join(f"- {line}" for line in lines)
