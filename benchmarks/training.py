"""Training trials: time and its parts, memory, growth with the cluster, trials side by side."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.clusters import five_server_episodes
from benchmarks.measuring import Row, cores, in_child, peak_memory_mb, ray_and_torch_mb, seconds

PARTS = {
    "rollout": "episodes",
    "replay": "replay memory",
    "gradient": "gradient steps",
    "validation": "validation",
}
"""Clocks of a run, and what the table calls them."""


def measure(quick: bool) -> list[Row]:
    """Every trial in a process of its own, on one core."""
    steps = 30 if quick else 5000
    trials = [in_child(train, steps) for _ in range(1 if quick else 3)]
    return [
        *_whole_trial(trials, steps, quick),
        _gradient_step(quick),
        _memory(trials, quick),
        *_growth(quick),
        *_concurrent(500 if not quick else 30),
        _tune_overhead(500 if not quick else 30),
    ]


def _whole_trial(trials: list[dict[str, Any]], steps: int, quick: bool) -> list[Row]:
    name = f"SPANE trial of {steps:,} gradient steps"
    totals = tuple(trial["total"] for trial in trials)
    iterations = in_child(_plain_iterations, 2 if quick else 40)
    plain = statistics.mean(iterations)
    rows = [
        Row("training", name, "s", totals, 45.0, 25.0, plain * steps),
        Row(
            "training",
            "one iteration: an episode and a gradient step",
            "ms",
            tuple(1e3 * total / steps for total in totals),
            baseline=1e3 * plain,
        ),
    ]
    for clock, part in PARTS.items():
        rows.append(Row("training", f"{name}: {part}", "s", tuple(trial["parts"][clock] for trial in trials)))
    # In a run of its own, since reading the clock at every decision takes time itself.
    split = in_child(_split_rollout, 30 if quick else 1000)
    for part, share in split.items():
        samples = tuple(share * trial["parts"]["rollout"] for trial in trials)
        rows.append(Row("training", f"{name}: episodes: {part}", "s", samples))
    for key, part in (("build", "building the algorithm"), ("rllib", "RLlib"), ("save", "checkpoint")):
        rows.append(Row("training", f"{name}: {part}", "s", tuple(trial[key] for trial in trials)))
    imports = tuple(trial["imports"] for trial in trials)
    return [*rows, Row("training", "imports of a trial process (not in its time)", "s", imports)]


def _gradient_step(quick: bool) -> Row:
    compiled, plain = in_child(_gradient_steps, 20 if quick else 300)
    name = "gradient step of 1,024 decisions, beside one by torch"
    return Row("training", name, "ms", compiled, baseline=statistics.median(plain))


def _gradient_steps(steps: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Milliseconds of a gradient step, three times and in turns: compiled, and by torch."""
    import torch

    from spane_rllib.learning.batch import Batch
    from spane_rllib.learning.dqn import DqnUpdate
    from spane_rllib.problems.vm_scheduling.networks.gradients import for_gradients
    from spane_rllib.problems.vm_scheduling.networks.registry import build_network
    from spane_rllib.problems.vm_scheduling.waits.algorithms import DqnSettings

    torch.set_num_threads(1)
    random, rows = np.random.default_rng(0), DqnSettings().batch_size

    def observation() -> dict[str, Any]:
        return {
            "servers": random.random((rows, 5, 2, 2), np.float32),
            "request": random.random((rows, 3), np.float32),
            "action_mask": np.ones((rows, 10), np.int8),
        }

    numbers = random.random(rows, np.float32)
    batch = Batch(observation(), random.integers(10, size=rows), numbers, numbers, observation())
    updates = [
        DqnUpdate(build_network("spane", {}, 5, seed=0), DqnSettings(), for_gradients=faster)
        for faster in (for_gradients, None)
    ]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(3):
        for update, taken in zip(updates, times, strict=True):
            (elapsed,) = seconds(lambda update=update: [update.update(batch) for _ in range(steps)], 1)
            taken.append(1e3 * elapsed / steps)
    return tuple(times[0]), tuple(times[1])


def _memory(trials: list[dict[str, Any]], quick: bool) -> Row:
    bare = statistics.median(in_child(ray_and_torch_mb) for _ in range(1 if quick else 3))
    samples = tuple(trial["peak_mb"] - bare for trial in trials)
    return Row("training", "peak memory of a trial beyond importing ray and torch", "MB", samples, 150.0)


def _growth(quick: bool) -> list[Row]:
    rows = []
    for servers in (5, 20) if quick else (5, 20, 100):
        trial = in_child(train, 2 if quick else 16, servers, 2, 16)
        rows.append(
            Row(
                "training",
                f"{servers} servers: training time per decision",
                "us",
                (1e6 * sum(trial["parts"][part] for part in PARTS) / trial["decisions"],),
            )
        )
    return rows


def _concurrent(steps: int) -> list[Row]:
    if len(cores()) < 2:
        return []
    alone = in_child(train, steps)["total"]
    pair = cores()[:2]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(lambda core: in_child(train, steps, on=(core,))["total"], pair))
    speedup = 2 * alone / statistics.mean(together)
    return [Row("training", "throughput of two trials on two cores over one", "x", (speedup,), 1.9)]


def _tune_overhead(steps: int) -> Row:
    started = time.perf_counter()
    trained = in_child(_tune, steps)
    return Row(
        "training",
        "Ray and Tune around one trial, start to end",
        "s",
        (time.perf_counter() - started - trained,),
    )


def train(steps: int, servers: int = 5, validation_episodes: int = 150, warm_up: int = 100) -> dict[str, Any]:
    """One trial in this process: seconds of all its parts, its decisions and the peak memory, MB.

    `total` is what an `Algorithm` costs from its configuration to its last checkpoint.
    """
    started = time.perf_counter()
    import torch

    from benchmarks.clusters import trace_for
    from spane_rllib.rllib.algorithm import SchedulingConfig

    torch.set_num_threads(1)
    imports = time.perf_counter() - started
    with _ray_on_any_core(), tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        config = (
            SchedulingConfig()
            .environment(env_config={"trace": trace_for(servers), "servers": servers})
            .training(gradient_steps=steps, warmup_episodes=warm_up)
            .validation(episodes=validation_episodes)
        )
        algorithm = config.build_algo()
        built = time.perf_counter()
        while not algorithm.train()["done"]:
            pass
        trained = time.perf_counter()
        algorithm.save_checkpoint(folder)
        saved = time.perf_counter()
        run = algorithm.run
        return {
            "imports": imports,
            "build": built - started,
            "parts": dict(run.seconds),
            "rllib": trained - built - sum(run.seconds.values()),
            "save": saved - trained,
            "total": saved - started,
            "decisions": run.decisions,
            "peak_mb": peak_memory_mb(),
        }


@contextmanager
def _ray_on_any_core() -> Iterator[None]:
    """Ray, as around the trials of the main job; its own processes do not share this process's core."""
    from spane_rllib.cluster.session import ray_session

    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, range(os.cpu_count() or 1))
    with ray_session(num_cpus=1):
        os.sched_setaffinity(0, own)
        yield


def _split_rollout(episodes: int) -> dict[str, float]:
    """Shares of the time of training episodes: network, simulator, and all else (observing, recording).

    Episodes are one compiled call, so its parts are taken from calls of their own: the forward pass over the
    observations of those episodes, and as many episodes under the heuristic `random`.
    """
    from spane_rllib.problems.vm_scheduling.networks.compiled import CompiledQNetwork
    from spane_rllib.problems.vm_scheduling.networks.registry import build_network
    from spane_rllib.problems.vm_scheduling.rollout import ExploringRollout
    from spane_rllib.problems.vm_scheduling.simulator import Heuristic, run_heuristic

    workload, cluster, starts, vm_counts = five_server_episodes(episodes)
    network = CompiledQNetwork(build_network("spane", {}, cluster.servers, seed=0))
    rollout, random = ExploringRollout(workload, cluster, episodes), np.random.default_rng(0)
    played = list(rollout.play(network, 0.3, starts, vm_counts, random))
    servers = np.concatenate([episode.servers for episode in played])
    request = np.concatenate([episode.request for episode in played])
    calls = {
        "all": lambda: list(rollout.play(network, 0.3, starts, vm_counts, random)),
        "network": lambda: network.q_values(servers, request),
        "simulator": lambda: run_heuristic(workload, cluster, Heuristic("random"), starts, vm_counts),
    }
    elapsed = {name: min(seconds(call, 5)) for name, call in calls.items()}
    shares = {name: elapsed[name] / elapsed["all"] for name in ("network", "simulator")}
    return shares | {"observing and recording": 1 - sum(shares.values())}


def _plain_iterations(count: int) -> list[float]:
    from benchmarks.plain_baseline import training_iterations
    from spane_rllib.problems.vm_scheduling.networks.registry import build_network

    return training_iterations(build_network("spane", {}, servers=5, seed=0), count)


def _tune(steps: int) -> float:
    """One trial as the main job runs it; the seconds its own iterations took."""
    from ray import tune

    from spane_rllib.datasets.vm_traces.loading import load_trace
    from spane_rllib.experiments.tuning.trainable import TrialTrainable
    from spane_rllib.experiments.tuning.trials import TrialSettings
    from spane_rllib.problems.registry import DEFAULT, find_problem

    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    problem = find_problem(DEFAULT)
    trial = TrialSettings(
        problem=DEFAULT,
        name="benchmark",
        method="spane",
        index=0,
        seed=0,
        network="spane",
        algorithm="dqn",
        options={},
        training=problem.algorithms["dqn"](gradient_steps=steps),
    )
    space = {
        "trial": trial.model_dump(mode="json"),
        "environments": {trial.network: (next(iter(problem.environments)), {"trace": "benchmark"})},
        "validation": {"episodes": 150, "every": 250, "trim": 0.1, "seed": 0},
        "gpus": 0.0,
    }
    with _ray_on_any_core(), tempfile.TemporaryDirectory() as folder:
        tuner = tune.Tuner(
            tune.with_resources(
                tune.with_parameters(TrialTrainable, shared={"benchmark": load_trace()}), {"cpu": 1}
            ),
            param_space=space,
            run_config=tune.RunConfig(
                storage_path=folder,
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
                verbose=0,
            ),
        )
        (result,) = tuner.fit()
        return float(result.metrics["time_total_s"])
