"""The planner `rollout`: its options, what it plays on, and when it deviates from its base."""

from __future__ import annotations

import numpy as np
import pytest

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.lifetimes import parse_lifetimes
from spane_rllib.problems.vm_scheduling.lookahead import policy as planning
from spane_rllib.problems.vm_scheduling.lookahead.futures import History, allocate_future, begin_future
from spane_rllib.problems.vm_scheduling.lookahead.options import parse_rollout
from spane_rllib.problems.vm_scheduling.lookahead.policy import RolloutPolicy
from spane_rllib.problems.vm_scheduling.policies import load_policy
from spane_rllib.problems.vm_scheduling.queue_disciplines import parse_queue
from spane_rllib.problems.vm_scheduling.recordings.recorder import record_episode
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    Heuristic,
    Lanes,
    compile_workload,
    run_heuristic,
)
from spane_rllib.problems.vm_scheduling.simulator.rules import (
    ARRIVAL,
    HEAD,
    LIFETIME,
    NOW,
    RUNNING_VMS,
    SEEN,
    WAITING,
    allocate,
)

CLUSTER = Cluster(servers=2)
ROWS = 250  # of history


def planner(text: str, trace: VmTrace, queue: str = "fifo", lifetimes: str = "unknown") -> planning._Planner:
    workload = compile_workload(trace, CLUSTER, parse_queue(queue), parse_lifetimes(lifetimes))
    return planning._Planner(RolloutPolicy(text, parse_rollout(text), ROWS), workload, CLUSTER)


def test_options() -> None:
    assert parse_rollout("rollout") == parse_rollout("rollout:base=keep-64,future=sampled")
    options = parse_rollout("rollout:scenarios=8,vms=50,significance=2,alternatives=3,announced=600,base=sbf")
    assert (options.scenarios, options.vms, options.significance) == (8, 50, 2.0)
    assert (options.alternatives, options.announced, options.base) == (3, 600.0, "sbf")
    assert parse_rollout("rollout:future=true").is_true
    policy = load_policy("rollout:scenarios=8")
    assert (policy.name, policy.identity != load_policy("rollout").identity) == ("rollout:scenarios=8", True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rollout:", "write rollout:KEY=VALUE"),
        ("rollout:depth=3", "write rollout:KEY=VALUE"),
        ("rollout:vms=3,vms=4", "each of these keys at most once"),
        ("rollout:vms=0", "vms='0' is not a whole number from 1 to 100000"),
        ("rollout:vms=1.5", "vms='1.5' is not a whole number"),
        ("rollout:announced=nan", "announced='nan' is not a number from 0"),
        ("rollout:base=best", "base='best' is not one of first-fit"),
        ("rollout:future=known", "future='known' is not one of sampled, true"),
        ("rollouts", "neither a heuristic"),
    ],
)
def test_bad_options(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_policy(text)


@pytest.mark.slow  # as all that compile the planner
@pytest.mark.parametrize("queue", ["fifo", "skip", "skip:2", "aged:60", "easy", "conservative"])
def test_the_true_future_under_the_base_is_what_comes(trace: VmTrace, queue: str) -> None:
    """From every decision on, the episode that is planned on ends as the base really ends it."""
    plan = planner("rollout:base=sbf,future=true", trace, queue)
    expected = run_heuristic(plan.workload, CLUSTER, Heuristic("sbf"), 20, 150).total_wait[0]
    assert expected > 0
    lanes = Lanes(plan.workload, CLUSTER)
    lanes.reset(0, 20, 150)
    decide = load_policy("sbf").decider(lanes, 20, 0)
    waits, random = np.empty(1), np.random.default_rng(0)
    while lanes.running[0]:
        slot = decide(lanes)
        plan._play(lanes.state, np.array([slot]), random, waits)
        placed = lanes.results().total_wait[0]  # waits of the past count in the episode alone
        assert waits[0] + placed == pytest.approx(expected, rel=1e-9)
        lanes.step(np.array([slot]))


@pytest.mark.slow
def test_sampled_futures_keep_what_is_known(trace: VmTrace) -> None:
    """What is announced comes; what runs goes on running; the rest is as in history."""
    workload = compile_workload(trace, CLUSTER, parse_queue("skip"), parse_lifetimes("known"))
    history = planning.history_of(workload.arrays, ROWS)
    assert isinstance(history, History)
    lanes = Lanes(workload, CLUSTER)
    lanes.reset(0, 260, 100)
    decide = load_policy("sbf").decider(lanes, 260, 0)
    random = np.random.default_rng(1)
    future = allocate_future(600)
    base = allocate(1, CLUSTER.slots, 600, queue=workload.arrays.queue)
    seen = set()
    while lanes.running[0]:
        counters, now = lanes.state.counters[0], lanes.state.clocks[0, NOW]
        for sigma in (-1.0, 0.0, 0.7):
            rows, running = begin_future(
                workload.arrays,
                workload.kind,
                lanes.state,
                sigma,
                history,
                40,
                300.0,
                False,
                random,
                future,
                base,
            )
            assert running == counters[RUNNING_VMS]
            waiting = base.counters[0, SEEN] - running
            assert rows == running + waiting + 40
            assert waiting in (counters[WAITING], counters[WAITING] + 1)
            assert (future.need[base.counters[0, HEAD]] == workload.arrays.need[counters[HEAD]]).all()
            assert (base.delayed_end[0, :running] >= now).all()
            assert (np.diff(base.delayed_end[0, :running]) >= 0).all()
            arrivals = future.times[running + waiting : rows, ARRIVAL]
            assert (np.diff(arrivals) >= 0).all()
            assert (arrivals >= now).all()
            first = max(int(counters[SEEN]), int(np.searchsorted(trace.arrival, now)))
            announced = int((trace.arrival[first:-1] <= now + 300).sum())
            known = slice(running + waiting, running + waiting + min(announced, 40))
            np.testing.assert_array_equal(
                future.need[known], workload.arrays.need[first : first + min(announced, 40)]
            )
            if sigma == 0.0:
                true = trace.lifetime[first : first + min(announced, 40)]
                np.testing.assert_array_equal(future.times[known, LIFETIME], true)
            seen |= set(future.times[known.stop : rows, LIFETIME].tolist())
        lanes.step(np.array([decide(lanes)]))
    assert seen <= set(trace.lifetime[:ROWS].tolist())


def waits(policy: str, trace: VmTrace, queue: str, lifetimes: str = "unknown", seed: int = 0) -> list[float]:
    workload = compile_workload(trace, CLUSTER, parse_queue(queue), parse_lifetimes(lifetimes))
    starts, counts = np.array([0, 60, 130, 200]), np.full(4, 120)
    ends = load_policy(policy, ROWS).play(workload, CLUSTER, starts, counts, seed)
    return EpisodeResults.of_state(*ends).total_wait.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("queue", ["fifo", "skip"])
def test_foresight_never_waits_longer_than_the_base(trace: VmTrace, queue: str) -> None:
    base, best = waits("sbf", trace, queue), waits("rollout:base=sbf,future=true", trace, queue)
    assert all(b <= a + 1e-6 for a, b in zip(base, best, strict=True))
    assert sum(best) < 0.98 * sum(base)
    assert best == waits("rollout:base=sbf,future=true", trace, queue, "predicted:2", seed=1)


@pytest.mark.slow
def test_a_sure_planner_never_deviates_and_a_seed_decides_it(trace: VmTrace) -> None:
    options = "rollout:base=sbf,scenarios=4,vms=30"
    assert waits(f"{options},significance=100", trace, "fifo") == waits("sbf", trace, "fifo")
    bold = waits(f"{options},significance=0", trace, "fifo")
    assert bold == waits(f"{options},significance=0", trace, "fifo") != waits("sbf", trace, "fifo")
    assert bold != waits(f"{options},significance=0", trace, "fifo", seed=1)


def test_gains_must_be_significant() -> None:
    gains = np.array([[1.0, 5.0, -1.0], [1.1, -4.0, -1.0], [0.9, 6.0, -1.0]])
    assert planning._best(gains, 2.0) == 1  # the second gains more, but not for sure
    assert planning._best(gains, 0.0) == 2
    assert planning._best(-gains[:, :1], 0.0) == 0
    np.testing.assert_array_equal(planning._gains(np.array([[np.inf, np.inf, 1.0]])), [[0, 1e18]])


@pytest.mark.slow
def test_a_recording_is_the_episode_that_is_evaluated(trace: VmTrace) -> None:
    text = "rollout:base=sbf,scenarios=4,vms=30,significance=0"
    workload = compile_workload(trace, CLUSTER)
    schedule = record_episode(load_policy(text, ROWS), workload, CLUSTER, 60, 120)
    assert schedule.total_wait == pytest.approx(waits(text, trace, "fifo")[1], rel=1e-12)


@pytest.mark.slow
def test_a_base_that_needs_lifetimes_is_refused_without(trace: VmTrace) -> None:
    with pytest.raises(UserError, match="nilas: goes by lifetimes"):
        waits("rollout:base=nilas", trace, "fifo")
    assert waits("rollout:base=nilas,scenarios=2,vms=5", trace, "fifo", "known")
