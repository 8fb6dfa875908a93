"""The command `python -m benchmarks` and the table it writes."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.measuring import Row
from benchmarks.mutants import TESTS, mutants
from benchmarks.report import BEGIN, COLUMNS, END, update_document
from benchmarks.stale_plans import carried_out, changed
from spane_rllib.core.errors import UserError
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import generate
from spane_rllib.problems.vm_rescheduling.planners.names import planner
from spane_rllib.problems.vm_rescheduling.planners.planner import Request
from spane_rllib.problems.vm_rescheduling.simulator.simulation import Simulation

ROOT = Path(__file__).parents[1]


def rate(*samples: float, target: float | None = 10.0, moonshot: float | None = 15.0) -> Row:
    return Row("kernels", "placements", "M/s", samples, target, moonshot, baseline=0.5)


def duration(*samples: float) -> Row:
    return Row("training", "trial", "s", samples, target=45.0, moonshot=25.0, baseline=100.0)


@pytest.mark.parametrize(
    ("row", "value", "met", "times_baseline"),
    [
        (rate(9.0), 9.0, "no", 18.0),
        (rate(1.0, 10.0, 99.0), 10.0, "yes", 20.0),
        (rate(15.0), 15.0, "moonshot", 30.0),
        (rate(16.0, moonshot=None), 16.0, "yes", 32.0),
        (rate(16.0, target=None, moonshot=None), 16.0, "", 32.0),
        (duration(46.0), 46.0, "no", 100 / 46),
        (duration(40.0, 50.0), 45.0, "yes", 100 / 45),
        (duration(20.0), 20.0, "moonshot", 5.0),
    ],
)
def test_goals(row: Row, value: float, met: str, times_baseline: float) -> None:
    assert (row.value, row.met) == (value, met)
    assert row.times_baseline == pytest.approx(times_baseline)


def test_document_keeps_what_surrounds_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nlast words\n")
    for _ in range(2):  # a second run replaces the table of the first
        update_document(page, [rate(12.0, 12345.0), duration(20.0)], "a trace")
    text = page.read_text()
    assert text.startswith(f"# Title\n\n{BEGIN}\n") and text.endswith(f"{END}\n\nlast words\n")
    assert "old" not in text and text.count("| placements |") == 1
    assert "| kernels | placements | 6,178 | M/s | 10 | 15 | moonshot |" in text
    assert "a trace" in text


def test_document_without_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    with pytest.raises(UserError, match="enclose the table are missing"):
        update_document(page, [rate(12.0)], "a trace")
    assert page.read_text() == "# Title\n"


@pytest.mark.slow
def test_command_measures_and_writes_the_rows(tmp_path: Path) -> None:
    output = tmp_path / "rows.csv"
    published = (ROOT / "docs" / "benchmarks.md").read_bytes()
    command = [sys.executable, "-m", "benchmarks", "--quick", "--only", "kernels", "--output", str(output)]
    environment = os.environ | {"SPANE_RLLIB_DATA": "synthetic:vms=20000", "PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    names = [row["name"] for row in rows]
    assert "first-fit, 1,000 servers: placements" in names and len(set(names)) == len(names) == 15
    assert all(float(row["min"]) == float(row["value"]) > 0 and row["repeats"] == "1" for row in rows)
    assert (ROOT / "docs" / "benchmarks.md").read_bytes() == published


def test_unknown_topic() -> None:
    command = [sys.executable, "-m", "benchmarks", "--only", "nothing"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 2 and "kernels" in result.stderr


def test_plans_grow_stale() -> None:
    """Where no VM came or went all of a plan is legal; where its VM ended, a migration is left out."""
    mapping = generate("high", 6200, machines=40)
    plan = planner("ha")(Request(mapping, 5)).plan
    same, index = changed(mapping, 0, np.random.default_rng(0))
    assert index.tolist() == list(range(mapping.vms))
    made, before, after = carried_out(plan, same, index)
    assert made == len(plan) > 1 and after < before == Simulation(mapping).value
    later, index = changed(mapping, 1, np.random.default_rng(0))
    (ended,) = np.flatnonzero(index < 0)
    assert later.vms == mapping.vms - 1
    assert later.free_cores.sum() == mapping.free_cores.sum() + mapping.cores[ended]
    index[plan[-1, 0]] = -1
    assert carried_out(plan, later, index)[0] <= len(plan) - 1
    # Not every VM that begins finds room, and one that began may end.
    grown, index = changed(mapping, 20, np.random.default_rng(0))
    assert 0 < (index < 0).sum() <= 10 and mapping.vms - 10 < grown.vms <= mapping.vms


@pytest.mark.parametrize("module", ["learning/returns.py", "learning/dqn.py"])
def test_every_mutant_is_another_program(module: str) -> None:
    found = list(mutants(module))
    assert len({mutant.source for mutant in found}) == len(found) > 5
    for mutant in found:
        compile(mutant.source, module, "exec")


def test_mutants_have_tests() -> None:
    assert all((ROOT / "spane_rllib" / module).is_file() for module in TESTS)
    assert all((ROOT / "tests" / name).is_file() for names in TESTS.values() for name in names)
