"""What a trial costs beside its training: many tiny trials on two cores, as a Markdown table.

    python -m benchmarks.many_trials [--trials 300]

Every trial makes 10 gradient steps on a short synthetic trace, so nearly all of the time is overhead of Ray,
Tune and the checkpoints. Needs no data.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spane_rllib.experiments.main_job import run_main_job
from spane_rllib.experiments.results.folder import ResultsFolder
from spane_rllib.experiments.results.trial_results import read_results
from spane_rllib.experiments.results.trial_tables import trial_table
from spane_rllib.experiments.tuning.config import ExperimentConfig, experiment_settings
from spane_rllib.problems.registry import DEFAULT, find_problem


def experiment(trials: int, output: str) -> ExperimentConfig:
    """`trials` trials of 10 gradient steps."""
    return experiment_settings(find_problem(DEFAULT)).model_validate(
        {
            "name": "many",
            "output": output,
            "trace": {"source": "synthetic", "synthetic_vms": 3000},
            "cluster": {"servers": 2},
            "training": {"gradient_steps": 10, "warmup_episodes": 4, "lanes": 4, "batch_size": 32}
            | {"replay_capacity": 5000, "n_step": 5},
            "validation": {"episodes": 4, "every": 10},
            "methods": {
                "spane": {
                    "network": "spane",
                    "trials": trials,
                    "training": {"learning_rate": {"loguniform": [0.001, 0.1]}},
                }
            },
            "evaluation": {"episodes": 4, "top_k": 1, "heuristics": ["first-fit"]},
            "resources": {"num_cpus": 2},
        }
    )


def main() -> None:
    """Run the experiment and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=300, metavar="K", help="tiny trials (300)")
    trials: int = parser.parse_args().trials
    with tempfile.TemporaryDirectory(prefix="many-trials-") as output:
        config = experiment(trials, output)
        folder = ResultsFolder(Path(output, config.name))
        run_main_job(config, folder, resume=False)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
        started = time.perf_counter()
        results = read_results(folder)
        restored = time.perf_counter() - started
        table = trial_table(results, folder)
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "spane_rllib.analyze", str(folder.path)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        analyzed = time.perf_counter() - started
        training = folder.stages()["training"]
        state = sum(file.stat().st_size for file in folder.tune.glob("*.json")) / 1024
        whole = sum(file.stat().st_size for file in folder.tune.rglob("*") if file.is_file()) / 1024
    rows = {
        "trials finished": f"{(table['status'] == 'TERMINATED').sum()} of {trials}",
        "wall time of training, Tune's start included": f"{training:.1f} s",
        "wall time per trial": f"{1000 * training / trials:.0f} ms",
        "of which training, four trials at a time": f"{1000 * table['time_s'].sum() / trials / 4:.0f} ms",
        "peak memory of the driver": f"{memory:.0f} MiB",
        "experiment state per trial": f"{state / trials:.1f} KiB",
        "everything on disk per trial": f"{whole / trials:.0f} KiB",
        "reading the results back": f"{restored:.2f} s",
        "`spane_rllib.analyze`, figures included": f"{analyzed:.1f} s",
    }
    print("| measure | value |\n|---|---|")
    print("\n".join(f"| {name} | {value} |" for name, value in rows.items()))


if __name__ == "__main__":
    main()
