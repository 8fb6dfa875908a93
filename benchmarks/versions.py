"""`python -m benchmarks versions CHECKOUT`: the kernels of another version and of this one, turn by turn.

Two runs of all benchmarks, one after the other, differ by more than most changes make: a shared machine is
faster and slower from minute to minute. Here both versions play the same episodes by turns of a tenth of a
second on one core, and the best turn of each counts.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.kernels import GOALS
from benchmarks.measuring import cores
from spane_rllib.core.console import Progress, format_table, whole_number
from spane_rllib.core.errors import UserError

ROOT = Path(__file__).parents[1]
EPISODES = 100
CHILD = """
import sys, time
from benchmarks import kernels
problems = {5: kernels.five_server_episodes(EPISODES)}
trace = kernels.load_trace()
gradient = kernels.FragmentationGradient.of_trace(trace, last=kernels.splits_of(trace).train[1])
for line in sys.stdin:
    name, servers = line.split()[0], int(line.split()[1])
    if servers not in problems:
        problems[servers] = kernels.large_episodes(servers, max(3, EPISODES * 5 // servers))
    workload, cluster, starts, vm_counts = problems[servers]
    heuristic = kernels.Heuristic(name, gradient if name == "fgd" else None)
    started = time.process_time()
    kernels.run_heuristic(workload, cluster, heuristic, starts, vm_counts)
    print((time.process_time() - started) / vm_counts.sum() * 1e9, flush=True)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks versions",
        description="Compare the speed of heuristics in another version's checkout with this one's.",
    )
    parser.add_argument(
        "checkout", type=Path, help="folder of the other version, which has benchmarks/kernels.py"
    )
    parser.add_argument("--rounds", type=whole_number(1, 1000), default=15, help="turns of each version (15)")
    arguments = parser.parse_args(argv)
    if not (arguments.checkout / "benchmarks" / "kernels.py").is_file():
        raise UserError(f"{arguments.checkout}: no benchmarks/kernels.py; give the folder of a checkout")
    versions = [_Version(arguments.checkout), _Version(ROOT)]
    # A version that looks at every server would take a minute for each turn on more of them.
    kernels = [(name, servers) for name, servers in GOALS if servers <= 1000]
    progress, rows = Progress("versions", len(kernels), "kernels", log_every_s=0), []
    for done, (name, servers) in enumerate(kernels, start=1):
        for version in versions:
            version.play(name, servers)  # compiled now, and the episodes made
        turns = [[version.play(name, servers) for version in versions] for _ in range(arguments.rounds)]
        other, ours = zip(*turns, strict=True)
        best, middle = (rate(ours) / rate(other) for rate in (min, statistics.median))
        texts = f"{min(other):.1f}", f"{min(ours):.1f}", f"{best:.3f}", f"{middle:.3f}"
        rows.append([f"{name}, {servers:,} servers", *texts])
        progress.update(done, name)
    columns = ["kernel", "other, ns a placement", "this", "ratio of the best turns", "of the medians"]
    print(format_table(columns, rows))
    return 0


class _Version:
    """A process that plays with the code of `checkout`."""

    def __init__(self, checkout: Path) -> None:
        folder, core = checkout.resolve(), cores()[-1]
        self._name = str(checkout)
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"import os; os.sched_setaffinity(0, [{core}]); EPISODES = {EPISODES}\n{CHILD}",
            ],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def play(self, name: str, servers: int) -> float:
        """Nanoseconds of processor time a placement."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(f"{name} {servers}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise UserError(f"{self._name}: its benchmarks do not run there, as the lines above say")
        return float(answer)
