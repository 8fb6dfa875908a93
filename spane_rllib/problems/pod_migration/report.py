"""What an experiment shows: violations against migrations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from spane_rllib.core.plotting import HEURISTIC_COLOUR, PALETTE, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spane_rllib.problems.problem import Block

NO_OP, FORESIGHT = "no-op", "foresight"


def report(summary: pd.DataFrame, trials: pd.DataFrame) -> Iterator[Block]:
    """The blocks of `Problem.report`."""
    method_of = dict(zip(trials["trial"], trials["method"], strict=True))
    for cluster, group in summary.groupby("cluster", sort=False):
        yield "\n".join(f"- {finding}" for finding in _findings(str(cluster), group, method_of))
    yield "violations_against_migrations", pareto_figure(summary, method_of)


def pareto_front(summary: pd.DataFrame) -> pd.DataFrame:
    """The policies that no other one beats in violations without more migrations, by migrations."""
    ordered = summary.sort_values(["migrations", "violations"], kind="stable")
    best = ordered["violations"].cummin()
    return ordered[(ordered["violations"] == best) & ~best.duplicated()]


def share_of_gap(violations: float, without: float, bound: float) -> float:
    """What share of the way from no moves to foresight a policy goes; NaN where there is no way."""
    return (without - violations) / (without - bound) if without > bound else float("nan")


def _findings(cluster: str, summary: pd.DataFrame, method_of: dict[str, str]) -> Iterator[str]:
    table = summary.set_index("policy").sort_values("violations", kind="stable")
    for name in [one for one in table.index if one in method_of][:1]:
        row = table.loc[name]
        yield (
            f"On `{cluster}` the learned policy with the fewest violations is `{name}`: "
            f"{row['violations']:,.2f} an episode with {row['migrations']:,.2f} migrations. "
            "It was picked on these very episodes."
        )
        no_more = table[(table["migrations"] <= row["migrations"]) & ~table.index.isin(list(method_of))]
        if len(no_more):
            yield (
                f"Of the baselines with no more migrations, `{no_more.index[0]}` has the fewest: "
                f"{no_more['violations'].iloc[0]:,.2f}."
            )
    if NO_OP in table.index and FORESIGHT in table.index:
        without, bound = (float(table.loc[name, "violations"]) for name in (NO_OP, FORESIGHT))
        shares = (
            f"`{name}` {share_of_gap(float(table.loc[name, 'violations']), without, bound):.0%}"
            for name in table.index
            if name not in (NO_OP, FORESIGHT)
        )
        yield f"Share of the gap between `{NO_OP}` and `{FORESIGHT}`, in violations: {', '.join(shares)}."
    front = ", ".join(f"`{name}`" for name in pareto_front(summary)["policy"])
    yield f"No other policy has both fewer violations and fewer migrations than {front}."


def pareto_figure(summary: pd.DataFrame, method_of: dict[str, str]) -> Figure:
    """Violations against migrations: every policy a point, every seed of a method too, and the front."""
    groups = list(summary.groupby("cluster", sort=False))
    figure, axes = panels(len(groups), 2, 6.0, 4.2)
    colours = dict(zip(dict.fromkeys(method_of.values()), PALETTE * 10, strict=False))
    for axis, (cluster, group) in zip(axes, groups, strict=True):
        front = pareto_front(group)
        axis.step(front["migrations"], front["violations"], where="post", color="0.8", zorder=1)
        for row in group.itertuples(index=False):
            method = method_of.get(str(row.policy))
            axis.scatter(
                row.migrations, row.violations, color=colours.get(method or "", HEURISTIC_COLOUR), zorder=2
            )
            if method is None:
                axis.annotate(
                    str(row.policy),
                    (row.migrations, row.violations),
                    xytext=(4, 3),
                    textcoords="offset points",
                    fontsize="x-small",
                )
        for method, colour in colours.items():
            axis.scatter([], [], color=colour, label=f"{method}, each seed")
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlim(left=0)
        axis.set_xlabel("migrations of an episode")
        axis.set_ylabel("overloaded node-slots of an episode")
        axis.set_title(str(cluster), fontsize="medium")
        if colours:
            axis.legend(fontsize="small")
    return figure
