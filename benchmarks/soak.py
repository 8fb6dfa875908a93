"""Long trouble in a short time: experiments whose processes are killed, told to stop and frozen at random.

    python -m benchmarks soak --minutes 8 [--seed 0]

A tiny experiment runs once undisturbed, then again and again with up to five disturbances each, and is
continued by `tune --resume` whenever it ended, until it is finished. Then its tables and weights must be
those of the undisturbed run, byte for byte. Prints the disturbances by victim and what became of the runs;
exits with 1 if anything was lost or wrong. Linux only; needs no data.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from spane_rllib.core.console import format_table, run_command

CONFIG = """
name: tiny
trace: {source: synthetic, synthetic_vms: 3000}
cluster: {servers: 2}
training:
  {gradient_steps: 160, batch_size: 32, n_step: 5, lanes: 4, warmup_episodes: 4, replay_capacity: 4000}
validation: {episodes: 4, every: 4}
methods:
  mlp: {network: mlp, training: {gradient_steps: 4}}
  spane: {network: spane, trials: 2, training: {learning_rate: {loguniform: [0.001, 0.01]}}}
evaluation: {top_k: 2, episodes: 20, heuristics: [first-fit]}
resources: {checkpoint_every: 1, num_cpus: 2, max_failures: 100}
"""
ACTIONS = ("kill -9", "SIGTERM", "SIGSTOP, SIGCONT")
MOST_DISTURBANCES = 5  # of one run, so that it comes to its end
LONGEST_WAIT_S = 12.0
LONGEST_STOP_S = 3.0
HUNG_S = 1200.0  # a busy machine is no failure
GONE_S = 60.0


@dataclass
class Tally:
    """What was done, and what came of it."""

    disturbed: Counter[tuple[str, str]] = field(default_factory=Counter)
    ended: Counter[int] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    troubles: list[str] = field(default_factory=list)

    def trouble(self, kind: str, words: str) -> None:
        """Count and describe what must not happen."""
        self.counts[kind] += 1
        self.troubles.append(f"{kind}: {words}")


@dataclass(frozen=True)
class Process:
    """A process; `begun` tells it from a later one with the same id."""

    pid: int
    begun: str
    kind: str

    @property
    def alive(self) -> bool:
        """Whether it runs, or is frozen."""
        state = _stat(self.pid)
        return state is not None and state[2] != "Z" and state[21] == self.begun

    def send(self, number: int) -> None:
        """Send a signal, unless it is gone."""
        if self.alive:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


def main(argv: Sequence[str] | None = None) -> int:
    """Disturb runs for the time given and print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks soak",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--minutes", type=float, default=8.0, metavar="N", help="begin no run after N (8)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="of the disturbances (0)")
    arguments = parser.parse_args(argv)
    chance, tally = random.Random(arguments.seed), Tally()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        place = Path(name)
        (place / "tiny.yaml").write_text(CONFIG)
        expected = _finish(place, "undisturbed", None, tally)
        while time.monotonic() - begun < 60 * arguments.minutes and not tally.troubles:
            number = tally.counts["runs finished"] + 1
            folder = _finish(place, f"run{number}", chance, tally)
            if tally.troubles:
                break
            for difference in _differences(folder, expected):
                tally.trouble("wrong results", f"{folder.parent.name}: {difference}")
            tally.counts["runs finished"] += 1
            print(f"run {number}: {sum(tally.disturbed.values())} disturbances until now", file=sys.stderr)
    print(_tables(tally, (time.monotonic() - begun) / 60))
    for words in tally.troubles:
        print(words, file=sys.stderr)
    return int(bool(tally.troubles))


def _finish(place: Path, output: str, chance: random.Random | None, tally: Tally) -> Path:
    """Run the experiment in `place`/`output` to its end, disturbed by `chance`; returns its folder."""
    folder = place / output / "tiny"
    left, seen, finished = MOST_DISTURBANCES if chance else 0, set[Process](), dict[str, bytes]()
    while True:
        begun = (folder / "config.yaml").exists()
        arguments = ["--resume", str(folder)] if begun else ["tiny.yaml", "--set", f"output={output}"]
        tally.counts["resumed"] += begun
        log = place / f"{output}.log"
        with log.open("w") as stream:
            driver = subprocess.Popen(
                [sys.executable, "-m", "spane_rllib.tune", *arguments],
                cwd=place,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1]), "OMP_NUM_THREADS": "1"},
                stdout=stream,
                stderr=stream,
            )
        used, hung = _disturb(driver, chance, left, seen, tally)
        left -= used
        code = driver.wait()
        for trial, results in finished.items():
            if not (folder / trial).is_file() or not (folder / trial).read_bytes().startswith(results):
                tally.trouble("lost results", f"{output}: {trial} is no longer what it was when it finished")
        finished |= {str(file.relative_to(folder)): file.read_bytes() for file in _finished(folder)}
        if chance is not None:
            tally.ended[code] += 1
        words = log.read_text()
        if hung:
            tally.trouble("hung", f"{output}: no end after {HUNG_S:.0f} s\n{words}")
        elif "Traceback" in words:
            tally.trouble("tracebacks", f"{output}: exit code {code}\n{words}")
        elif code not in (0, 1, 130, 143, -signal.SIGKILL, -signal.SIGTERM) or (code and not used):
            tally.trouble("failed", f"{output}: exit code {code} after {used} disturbances\n{words}")
        if code == 0 or tally.troubles:
            break
    until = time.monotonic() + GONE_S
    while any(process.alive for process in seen) and time.monotonic() < until:
        time.sleep(0.2)
    for process in seen:
        if process.alive:
            tally.trouble("processes left", f"{output}: {process.kind} {process.pid}")
            process.send(signal.SIGKILL)
    return folder


def _disturb(
    driver: subprocess.Popen[bytes],
    chance: random.Random | None,
    left: int,
    seen: set[Process],
    tally: Tally,
) -> tuple[int, bool]:
    """Until `driver` ends, disturb up to `left` of its processes; returns how many, and whether it hung."""
    used, last, due = 0, time.monotonic(), 0.0
    # Starting takes long; most disturbances shall meet trials and evaluations.
    early, up = chance is not None and chance.random() < 0.2, False
    while driver.poll() is None:
        time.sleep(0.1)
        processes = list(_processes(driver.pid))
        seen.update(processes)
        if time.monotonic() - last > HUNG_S:
            driver.kill()
            return used, True
        if not up and (early or any(process.kind == "trial" for process in processes)):
            up, due = True, time.monotonic() + (_wait(chance) if chance else 0)
        if chance is None or used == left or not up or time.monotonic() < due or not processes:
            continue
        kind = chance.choice(sorted({process.kind for process in processes}))
        victim = chance.choice([process for process in processes if process.kind == kind])
        action = chance.choice(ACTIONS)
        tally.disturbed[kind, action] += 1
        if action == "kill -9":
            victim.send(signal.SIGKILL)
        elif action == "SIGTERM":
            victim.send(signal.SIGTERM)
        else:
            victim.send(signal.SIGSTOP)
            time.sleep(chance.uniform(0, LONGEST_STOP_S))
            victim.send(signal.SIGCONT)
        used, last, due = used + 1, time.monotonic(), time.monotonic() + _wait(chance)
    return used, False


def _wait(chance: random.Random) -> float:
    return chance.uniform(0.5, LONGEST_WAIT_S)


def _processes(driver: int) -> Iterator[Process]:
    """The driver and the processes of its Ray that may be disturbed."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (state := _stat(int(entry.name))) and state[2] != "Z":
            children.setdefault(int(state[3]), []).append(int(entry.name))
    waiting = [driver]
    while waiting:
        pid = waiting.pop()
        waiting += children.get(pid, [])
        kind = "driver" if pid == driver else _kind(pid)
        if kind and (state := _stat(pid)):
            yield Process(pid, state[21], kind)


def _kind(pid: int) -> str | None:
    try:
        title = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0].decode()
    except OSError:
        return None
    if title.startswith("ray::"):
        return "trial" if "Trainable" in title else "agent" if "Agent" in title else "worker"
    return {"raylet": "raylet", "gcs_server": "GCS"}.get(Path(title).name)


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat (man 5 proc); None when there is no such process."""
    try:
        before, _, after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return None
    return [*before.split(" (", 1), *after.split()]


def _finished(folder: Path) -> Iterator[Path]:
    """The results of the trials that are finished."""
    for file in folder.glob("tune/*/result.json"):
        lines = file.read_text().splitlines(keepends=True)
        if lines and lines[-1].endswith("\n") and json.loads(lines[-1])["done"]:
            yield file


def _differences(folder: Path, expected: Path) -> list[str]:
    """The tables and weights in which two finished runs differ."""
    files = ["curves.csv", "episodes.csv", "summary.csv"]
    files += sorted(str(file.relative_to(expected)) for file in expected.glob("models/*/*/*"))
    differing = [
        name
        for name in files
        if not (folder / name).is_file() or (folder / name).read_bytes() != (expected / name).read_bytes()
    ]
    return differing + ([] if _trials(folder).equals(_trials(expected)) else ["trials.csv"])


def _trials(folder: Path) -> Any:
    return pd.read_csv(folder / "trials.csv").drop(columns="time_s")


def _tables(tally: Tally, minutes: float) -> str:
    kinds = sorted({kind for kind, _ in tally.disturbed})
    rows = [[kind, *(tally.disturbed[kind, action] for action in ACTIONS)] for kind in kinds]
    rows.append(["all", *(sum(int(row[column]) for row in rows) for column in range(1, len(ACTIONS) + 1))])
    ended = ", ".join(f"{code}: {count}" for code, count in sorted(tally.ended.items()))
    came: list[tuple[str, object]] = [("minutes", round(minutes, 1))]
    came += [(kind, tally.counts[kind]) for kind in ("runs finished", "resumed")]
    came += [
        (kind, tally.counts[kind])
        for kind in ("lost results", "wrong results", "failed", "hung", "tracebacks", "processes left")
    ]
    text = "\n".join(f"{name}: {value}" for name, value in came)
    return f"{format_table(['victim', *ACTIONS], rows)}\n\n{text}\nexit codes of the commands: {ended}"


if __name__ == "__main__":
    sys.exit(run_command(main))
