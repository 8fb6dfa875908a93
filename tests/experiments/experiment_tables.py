"""Small synthetic tables of an experiment: what its figures and its report read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from spane_rllib.problems.vm_scheduling.reference_cluster import VM_SIZES

HEURISTICS = ("first-fit", "best-fit", "keep-64")


def make_trials(counts: Mapping[str, int], seed: int = 0) -> pd.DataFrame:
    """`counts[method]` finished trials each; the best validation wait is at a learning rate of 0.01."""
    rng = np.random.default_rng(seed)
    rows = []
    for method, count in counts.items():
        for index in range(count):
            rate = float(np.exp(rng.uniform(np.log(1e-3), np.log(1e-1))))
            own = (
                {"options.aggregations": str(rng.choice(["mean", "mean+max", "mean+max+std"]))}
                if method == "spane"
                else {"options.width": int(rng.choice([32, 64])), "options.depth": 2}
            )
            rows.append(
                {
                    "method": method,
                    "trial": f"{method}-{index:04d}",
                    "seed": int(rng.integers(2**31)),
                    "status": "TERMINATED",
                    "gradient_steps": 5000,
                    "best_validation_wait_s": 5e4 * np.exp(abs(np.log(rate / 0.01)) / 2 + rng.gamma(1, 0.2)),
                    "best_gradient_steps": 4250,
                    "time_s": 61.5,
                    "model": "",
                    "training.learning_rate": rate,
                    "training.double_q": bool(rng.random() < 0.5),
                    **own,
                }
            )
    trials = pd.DataFrame(rows)
    trials["rank"] = trials.groupby("method")["best_validation_wait_s"].rank()
    return trials


def make_curves(trials: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """Twenty validations per trial, falling towards the trial's best."""
    rng = np.random.default_rng(seed)
    steps = np.arange(250, 5001, 250)
    return pd.concat(
        pd.DataFrame(
            {
                "trial": trial.trial,
                "method": trial.method,
                "gradient_steps": steps,
                "validation_wait_s": trial.best_validation_wait_s
                * (1 + 3 * np.exp(-steps / 900) + rng.gamma(1, 0.1, len(steps))),
                "episode_return_mean": -400.0,
                "loss": 0.1,
            }
        )
        for trial in trials.itertuples()
    )


def make_episodes(
    policies: Sequence[str], servers: Sequence[int] = (5,), count: int = 40, seed: int = 0
) -> pd.DataFrame:
    """Heavy-tailed waits, a quarter of them zero, longer from policy to policy."""
    rng = np.random.default_rng(seed)
    frames = []
    for size in servers:
        bound = rng.lognormal(10, 1.5, count) * (rng.random(count) < 0.75)
        for position, policy in enumerate(policies):
            wait = bound * (1.3 + 0.1 * position + rng.gamma(1, 0.3, count))
            frames.append(
                pd.DataFrame(
                    {
                        "policy": policy,
                        "servers": size,
                        "start": np.arange(count) * 100,
                        "vm_count": 300,
                        "total_wait_s": wait,
                        "mean_wait_s": wait / 300,
                        "max_wait_s": wait / 10,
                        "return": -np.log1p(wait),
                        "lower_bound_s": bound,
                        "overtaken": 3,
                        "passes": 9,
                        "most_passes": 4,
                        **{f"wait_{size}_s": wait / 4 for size in VM_SIZES},
                        **{f"vms_{size}": 75 for size in VM_SIZES},
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)
