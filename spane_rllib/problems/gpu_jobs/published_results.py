"""The numbers that the reference has published, beside what a run came to, and why they differ.

HenryAJX/DRL_Scheduler, `logs/*/Trace Data/summary_eval_{lw,mw,hw}.csv` at 471a7c9 (MIT).
"""

from __future__ import annotations

from pathlib import PurePath

import numpy as np
import pandas as pd

_HORIZON = "--rules published --horizon 15000000"
_SAME = f"they agree to the printed digits under {_HORIZON}"
_UNKNOWN = (
    f"under {_HORIZON} no variant gives the published number: 16 places or all, jobs without GPUs or not, "
    "split or not, one priority"
)
_AGENT = (
    "its checkpoints choose the sixth job whatever they see, which gives as much utilization; the published "
    "mean and count are of a longer run"
)
_STALLED = "; it stands still once the shortest job is beyond the 16 places that actions reach"
# Workload, its policy, ours, mean JCT, makespan, utilization, jobs, why they differ.
_ROWS = (
    ("low", "fcfs", "fcfs", 220.349128745142, 14999919, 0.0036050801817187, 15954, _SAME),
    ("low", "first_fit", "first_fit", 220.349128745142, 14999919, 0.0036050801817187, 15954, _SAME),
    ("low", "sjf", "sjf", 216.054316059591, 14611100, 0.00317351436334607, 14029, _SAME + _STALLED),
    ("low", "sac", "sixth", 18999.2927683976, 15902090, 0.00431051268822436, 18834, _AGENT),
    ("medium", "fcfs", "fcfs", 1288550.4811320754, 21527557, 0.4432550849658815, 18550, _UNKNOWN),
    ("medium", "first_fit", "first_fit", 1288550.4811320754, 21527557, 0.4432550849658815, 18550, _UNKNOWN),
    ("medium", "sjf", "sjf", 689.5625, 10254077, 7.40297876500384e-05, 16, _UNKNOWN + _STALLED),
    ("medium", "sac", "sixth", 874722.8363101605, 21532091, 0.478961480265499, 18700, _AGENT),
    ("heavy", "fcfs", "fcfs", 2248941.60627178, 14970717, 0.249630442836219, 287, _SAME),
    ("heavy", "first_fit", "first_fit", 2248941.60627178, 14970717, 0.249630442836219, 287, _SAME),
    ("heavy", "sjf", "sjf", 321831.75, 11962737, 0.0303653395898089, 8, _SAME + _STALLED),
    ("heavy", "sac", "sixth", 4558926.50727, 19707061, 0.470217596481934, 757, _AGENT),
)


def published_and_ours(summary: pd.DataFrame) -> pd.DataFrame:
    """A row for each published number that the summary has a counterpart of; see `_ROWS`."""
    rows = []
    for workload, theirs, ours, jct, makespan, utilization, completed, why in _ROWS:
        stems = summary["workload"].map(lambda text: PurePath(str(text)).name.split(".")[0])
        played = summary[(stems == f"{workload}_workload") & (summary["policy"] == ours)]
        for row in played.to_dict("records"):
            agree = np.isclose(row["avg_jct_s"], jct, rtol=1e-12) and row["completed"] == completed
            rows.append(
                {
                    "workload": row["workload"],
                    "published_policy": theirs,
                    "policy": ours,
                    "published_avg_jct_s": jct,
                    "avg_jct_s": row["avg_jct_s"],
                    "published_makespan_s": makespan,
                    "makespan_s": row["makespan_s"],
                    "published_utilization": utilization,
                    "utilization": row["utilization"],
                    "published_completed": completed,
                    "completed": row["completed"],
                    "difference": "none to the printed digits" if agree else why,
                }
            )
    return pd.DataFrame(rows)


def published_text(found: pd.DataFrame) -> str:
    """The table as Markdown."""
    lines = [
        "## Published and ours",
        "",
        "| workload | policy | | completed | mean JCT, s | makespan, s | utilization |",
        "|---|---|---|---:|---:|---:|---:|",
    ]
    for row in found.to_dict("records"):
        for which, prefix, name in (
            ("published", "published_", row["published_policy"]),
            ("ours", "", row["policy"]),
        ):
            values = (
                f"{row[f'{prefix}completed']:,}",
                f"{row[f'{prefix}avg_jct_s']:,.4f}",
                f"{row[f'{prefix}makespan_s']:,.0f}",
                f"{row[f'{prefix}utilization']:.7f}",
            )
            lines.append(f"| {row['workload']} | `{name}` | {which} | {' | '.join(values)} |")
    lines.append("")
    for why, group in found.groupby("difference", sort=False):
        named = dict.fromkeys(
            f"`{one.published_policy}` on {one.workload}" for one in group.itertuples(index=False)
        )
        lines.append(f"- {', '.join(named)}: {why}.")
    return "\n".join(lines)
