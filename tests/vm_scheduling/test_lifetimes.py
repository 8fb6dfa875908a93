"""What is known of lifetimes: names, estimates, heuristics that go by them, and what is observed."""

from __future__ import annotations

import math
import pickle
from pathlib import Path

import gymnasium
import numpy as np
import pandas as pd
import pytest
from gymnasium.utils.env_checker import check_env

from spane_rllib.__main__ import main
from spane_rllib.core.errors import UserError
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.lifetimes import UNKNOWN, parse_lifetimes
from spane_rllib.problems.vm_scheduling.policies import HeuristicPolicy
from spane_rllib.problems.vm_scheduling.queue_disciplines import FIFO, parse_queue
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    EpisodeResults,
    Lanes,
    compile_workload,
    lower_bounds,
)
from spane_rllib.problems.vm_scheduling.simulator.exit_times import BUCKET_S
from spane_rllib.problems.vm_scheduling.simulator.rules import HEAD, NOW
from spane_rllib.problems.vm_scheduling.waits.instance import WaitInstance
from spane_rllib.problems.vm_scheduling.waits.problem import WAITS
from spane_rllib.problems.vm_scheduling.waits.task import WaitEvaluation, WaitTask

CLUSTER = Cluster(servers=3)
KNOWN = parse_lifetimes("known")
STARTS, COUNTS = np.array([0, 57]), np.array([300, 200])


def totals(policy: HeuristicPolicy, queue: str, lifetimes: str, trace: VmTrace) -> list[list[float]]:
    workload = compile_workload(trace, CLUSTER, parse_queue(queue), parse_lifetimes(lifetimes))
    results = EpisodeResults.of_state(*policy.play(workload, CLUSTER, STARTS, COUNTS, 0))
    return [results.total_wait.tolist(), results.overtaken.tolist(), *results.size_wait.tolist()]


@pytest.mark.parametrize(
    ("text", "canonical", "noise"),
    [
        ("unknown", "unknown", None),
        ("known", "known", 0.0),
        ("predicted:0.10", "predicted:0.1", 0.1),
        ("predicted:2", "predicted:2", 2.0),
    ],
)
def test_names(text: str, canonical: str, noise: float | None) -> None:
    lifetimes = parse_lifetimes(text)
    assert (lifetimes.text, lifetimes.noise) == (canonical, noise)
    assert parse_lifetimes(canonical) == lifetimes


@pytest.mark.parametrize(
    "text",
    [
        *("", "Known", "known:1", "predicted", "predicted:", "predicted:0", "predicted:-1", "predicted:inf"),
        *("predicted:nan", "predicted:1001", "predicted:1_0", "predicted: 1", "predicted:1:2"),
    ],
)
def test_what_is_no_name(text: str) -> None:
    with pytest.raises(UserError, match=r"lifetimes: .* is none of unknown, predicted:NOISE, known"):
        parse_lifetimes(text)


def test_every_form_is_refused_where_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--lifetimes", "guessed", "--policy", "sbf"]) == 2
    assert "argument --lifetimes: 'guessed' is none of unknown" in capsys.readouterr().err
    assert main(["evaluate", "--lifetimes", "known", "--scenario", "fading", "--policy", "sbf"]) == 2
    assert "argument --lifetimes: not allowed with argument --scenario" in capsys.readouterr().err
    assert main(["tune", "quick", "--set", "lifetimes=guessed"]) == 2
    assert "lifetimes: 'guessed' is none of unknown" in capsys.readouterr().err
    assert main(["evaluate", "--trace", "synthetic:vms=3000", "--episodes", "1", "--policy", "nilas"]) == 2
    assert "policy nilas: goes by lifetimes, of which nothing is known" in capsys.readouterr().err


def test_predictions_are_log_normal_around_the_truth_and_never_change() -> None:
    truth = np.full(20_000, 100.0)
    errors = {}
    for noise in (0.1, 0.5, 2.0):
        lifetimes = parse_lifetimes(f"predicted:{noise}")
        errors[noise] = np.log(lifetimes.of(truth) / truth)
        assert errors[noise].std() == pytest.approx(math.log1p(noise), rel=0.03)
        assert np.median(errors[noise]) == pytest.approx(0, abs=0.03 * math.log1p(noise))
        np.testing.assert_array_equal(lifetimes.of(truth), lifetimes.of(truth))
    # The same VM is misjudged in the same direction at every noise.
    np.testing.assert_allclose(errors[0.1] / math.log1p(0.1), errors[2.0] / math.log1p(2.0), rtol=1e-9)
    for lifetimes in (KNOWN, UNKNOWN):
        np.testing.assert_array_equal(lifetimes.of(truth), truth)
    assert parse_lifetimes("predicted:1").of(np.array([math.inf]))[0] == math.inf


@pytest.mark.parametrize("queue", ["fifo", "skip"])
def test_who_does_not_go_by_lifetimes_does_the_same_when_they_are_known(trace: VmTrace, queue: str) -> None:
    """First come, first served is played by other compiled rules then."""
    policy = HeuristicPolicy("keep-64")
    unknown = totals(policy, queue, "unknown", trace)
    assert totals(policy, queue, "known", trace) == totals(policy, queue, "predicted:2", trace) == unknown
    assert totals(HeuristicPolicy("nilas"), queue, "known", trace) != unknown
    workload = compile_workload(trace, CLUSTER, parse_queue(queue))
    same = [
        lower_bounds(w, CLUSTER, STARTS, COUNTS) for w in (workload, workload.under(workload.queue, KNOWN))
    ]
    np.testing.assert_array_equal(*same)


def test_reservations_go_by_predictions(trace: VmTrace) -> None:
    policy = HeuristicPolicy("sbf")
    known = totals(policy, "easy", "known", trace)
    assert totals(policy, "easy", "unknown", trace) == known  # there is nothing else to go by
    assert totals(policy, "easy", "predicted:2", trace) != known


def test_a_workload_keeps_what_is_known(trace: VmTrace) -> None:
    workload = compile_workload(trace, CLUSTER, FIFO, parse_lifetimes("predicted:0.5"))
    again = pickle.loads(pickle.dumps(workload))
    assert again.lifetimes == workload.lifetimes
    np.testing.assert_array_equal(again.arrays.estimate, workload.arrays.estimate)
    assert workload.under(FIFO).arrays.estimate is None


@pytest.mark.parametrize("lifetimes", ["known", "predicted:2"])
@pytest.mark.parametrize(("name", "queue"), [("nilas", "fifo"), ("keep-64-exit", "skip")])
def test_exit_times_are_aligned(trace: VmTrace, name: str, queue: str, lifetimes: str) -> None:
    """Decision by decision as a slow implementation would, which keeps its own book of what runs."""
    workload = compile_workload(trace, CLUSTER, parse_queue(queue), parse_lifetimes(lifetimes))
    lanes = Lanes(workload, CLUSTER)
    lanes.reset(0, 10, 250)
    decide = HeuristicPolicy(name).decider(lanes, 10, 0)
    placed: dict[int, tuple[int, float]] = {}  # server and time by VM
    while lanes.running[0]:
        vm, now = int(lanes.state.counters[0, HEAD]), float(lanes.state.clocks[0, NOW])
        [slots] = np.nonzero(lanes.observations.action_mask[0])
        slot = decide(lanes)
        costs = {s: alignment(name, lanes, vm, now, s, placed) for s in slots.tolist()}
        assert costs[slot] == min(costs.values())
        placed[vm] = slot // 2, now
        lanes.step(np.array([slot]))


def alignment(
    name: str, lanes: Lanes, vm: int, now: float, slot: int, placed: dict[int, tuple[int, float]]
) -> tuple[float, ...]:
    """What a lifetime-aware heuristic minimises, one thing after the other."""
    workload, server = lanes.workload, slot // 2
    trace, estimate = workload.trace, workload.arrays.estimate
    ends = [
        at + estimate[v]
        for v, (where, at) in placed.items()
        if where == server and at + trace.lifetime[v] > now
    ]
    delay = max(0.0, now + estimate[vm] - max([now, *ends]))
    nodes = slice(2 * server, 2 * server + 2)
    after = lanes.state.free[0, :, nodes] / workload.units_per_core
    before = hosts_giant(after)
    need = np.array([trace.cpu[vm], trace.memory[vm]])
    if need[1] > CLUSTER.double_memory_threshold:
        after -= need[:, None] / 2
    else:
        after[:, slot % 2] -= need
    lost = before - hosts_giant(after) if name == "keep-64-exit" else 0
    share = lanes.state.share[0]
    return lost, math.floor(math.log2(1 + delay / BUCKET_S)), share[nodes].sum(), -share[slot]


def hosts_giant(free: np.ndarray) -> int:
    """Whether a server with (2, 2) free cpu and GiB of its nodes has room for 64 cpu x 128 GiB."""
    return int(bool((free[0] >= 32).all() and (free[1] >= 64).all()))


def test_environments_show_what_is_known(trace: VmTrace) -> None:
    keywords = {"trace": trace, "servers": 2, "lifetimes": "known"}
    env = gymnasium.make("spane_rllib/VMScheduling-v0", **keywords)
    check_env(env.unwrapped, skip_render_check=True)
    observation, _ = env.reset(options={"start": 0, "vm_count": 3})
    assert observation in env.observation_space
    assert observation["lifetime"] == pytest.approx([math.log1p(trace.lifetime[0])])
    assert not observation["busy"].any()
    observation, *_ = env.step(2)
    elapsed = trace.arrival[1] - trace.arrival[0]
    expected = np.zeros((2, 2))
    expected[1] = math.log1p(max(0, trace.lifetime[0] - elapsed)), 0
    if trace.memory[0] > 10:
        expected[1, 1] = expected[1, 0]
    np.testing.assert_allclose(observation["busy"], expected, rtol=1e-5)
    envs = gymnasium.make_vec(
        "spane_rllib/VMScheduling-v0", 2, vectorization_mode="vector_entry_point", **keywords
    )
    observations, _ = envs.reset(options={"start": 0, "vm_count": 3})
    assert observations["busy"].shape == (2, 2, 2)
    plain = gymnasium.make("spane_rllib/VMScheduling-v0", trace=trace, servers=2)
    assert set(plain.observation_space) == set(plain.reset()[0]) == {"servers", "request", "action_mask"}


def test_parts_and_commands_know_lifetimes(trace: VmTrace, tmp_path: Path) -> None:
    keys = set()
    for lifetimes in ("unknown", "known", "predicted:0.5"):
        task = WaitTask(WAITS, WaitInstance(trace=trace, servers=3, lifetimes=lifetimes))
        keys.add(WaitEvaluation(task, (3,), np.array([0]), seed=0).part(HeuristicPolicy("sbf"), 3).key)
        assert task.environment[1]["lifetimes"] == lifetimes
    assert len(keys) == 3
    options = ["--trace", "synthetic:vms=4000", "--servers", "2", "--episodes", "8", "--lifetimes", "known"]
    policies = ["--policy", "nilas", "--policy", "keep-64-exit", "--policy", "sbf"]
    assert main(["evaluate", *policies, *options, "--output", str(tmp_path)]) == 0
    episodes = pd.read_csv(tmp_path / "episodes.csv")
    assert set(episodes["policy"]) == {"nilas", "keep-64-exit", "sbf"}
    assert (episodes["lower_bound_s"] <= episodes["total_wait_s"] + 1e-6).all()
