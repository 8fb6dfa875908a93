"""The details of blocks, and the figures and tables that a report makes of them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from test_second_implementation import CLUSTERS, random_jobs

from spane_rllib.core.errors import UserError
from spane_rllib.problems.gpu_jobs.details import EDGES, read_details, together
from spane_rllib.problems.gpu_jobs.policies import HEURISTICS, Rules
from spane_rllib.problems.gpu_jobs.published_results import published_and_ours, published_text
from spane_rllib.problems.gpu_jobs.report import report
from spane_rllib.problems.gpu_jobs.results import block_table, summarize
from spane_rllib.problems.gpu_jobs.simulator.schedule import Schedule, measures


def played(policy: str, cluster: str, horizon: float = np.inf) -> tuple[Schedule, pd.DataFrame]:
    jobs = random_jobs(2, shares=CLUSTERS[cluster].split != "any")
    schedule = HEURISTICS[policy].schedule(jobs, CLUSTERS[cluster], Rules(horizon=horizon))
    table = block_table(schedule, CLUSTERS[cluster], policy, "made up", 7, (0.0, 1.0), 0.0)
    return schedule, table


@pytest.mark.parametrize("policy", ["fcfs", "srtf"])
@pytest.mark.parametrize("cluster", CLUSTERS)
def test_details_add_up_to_the_run(policy: str, cluster: str) -> None:
    for horizon in (np.inf, 120.0):
        schedule, table = played(policy, cluster, horizon)
        details = read_details(table)
        jobs = together(one for detail in details for one in detail.jct.values())
        counted = schedule.jct[schedule.counted]
        assert jobs.count == len(counted)
        assert jobs.mean == pytest.approx(counted.mean())
        for priority in np.unique(schedule.jobs.priority):
            chosen = schedule.counted & (schedule.jobs.priority == priority)
            of_priority = together(one.jct[priority] for one in details if priority in one.jct)
            assert of_priority.count == chosen.sum()
            assert of_priority.mean == pytest.approx(schedule.jct[chosen].mean())
        # Slices are equally long, so that the mean of their shares is the share of the run.
        use = np.mean([one.use[""] for one in details])
        assert use == pytest.approx(measures(schedule)["utilization"], abs=1e-4)
        types = CLUSTERS[cluster].ordered
        weights = np.array([each.count * each.flops for each in types])
        shares = np.array([[one.use[each.name] for each in types] for one in details])
        flops = [one.use["flops"] for one in details]
        np.testing.assert_allclose(shares @ weights / weights.sum(), flops, atol=1e-4)


def test_quantiles_are_right_to_within_a_bin() -> None:
    schedule, table = played("fcfs", "small")
    jobs = together(one for detail in read_details(table) for one in detail.jct.values())
    ordered = np.sort(schedule.jct)
    for share in (0.05, 0.5, 0.95):
        at = round(share * len(ordered))
        low, high = np.searchsorted(EDGES, ordered[[at - 1, at]], "right")
        assert EDGES[low - 1] <= jobs.quantile(share) <= EDGES[high]
    assert jobs.largest >= schedule.jct.max()
    assert all(low < high for low, high in pairwise(EDGES))


def test_a_report_has_the_figures_of_the_reference() -> None:
    episodes = pd.concat([played(policy, "small")[1] for policy in ("fcfs", "srtf")], ignore_index=True)
    blocks = list(report(episodes, summarize(episodes)))
    names = [name for name, _ in (block for block in blocks if not isinstance(block, str))]
    assert names == [
        "completion_times_over_arrivals",
        "completion_times_by_arrival_and_priority",
        "completion_times_by_priority",
        "completion_times_by_priority",
        "completion_times_cumulative",
        "utilization_over_time",
        "utilization_by_type",
    ]
    table = next(block[1] for block in blocks if isinstance(block[1], pd.DataFrame))
    assert table["jobs"].sum() == 2 * 60


@pytest.mark.parametrize("text", ["{", "[]", '{"jct": {"x": [1, []]}, "use": {}}', '{"jct": {"1": 3}}'])
def test_damaged_details_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="details"):
        read_details(pd.DataFrame({"details": [text]}))


def test_published_numbers_stand_beside_ours() -> None:
    row = {"completed": 15954, "makespan_s": 14999919.0, "utilization": 0.0036}
    rows = [
        {"workload": "data/low_workload.csv", "policy": "fcfs", "avg_jct_s": 220.34912874514228} | row,
        {"workload": "data/low_workload.csv", "policy": "sixth", "avg_jct_s": 220.4} | row,
        {"workload": "data/other.csv", "policy": "fcfs", "avg_jct_s": 1.0} | row,
    ]
    found = published_and_ours(pd.DataFrame(rows))
    assert found["policy"].tolist() == ["fcfs", "sixth"]
    assert found["difference"][0] == "none to the printed digits"
    assert "sixth job" in found["difference"][1]
    assert "220.3491" in published_text(found)
    assert published_and_ours(pd.DataFrame(rows[2:])).empty
