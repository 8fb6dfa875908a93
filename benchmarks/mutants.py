"""Do the tests notice when a rule is wrong? Small changes of the sources, one at a time, and who finds them.

    python -m benchmarks mutants [--count 40] [--seed 0] [--module learning/returns.py]

Draws places in simulator rules and learning losses where an operator, a comparison or a number can be
replaced, makes each change in a copy of the repository, and runs the tests of that module there. Prints the
changes that no test noticed (some change nothing that can be seen); exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from spane_rllib.core.console import format_table, run_command

ROOT = Path(__file__).parents[1]
TESTS = {
    "learning/returns.py": ("learning/test_returns.py",),
    "learning/advantages.py": ("learning/test_policy_gradient.py",),
    "learning/policy_gradient.py": ("learning/test_policy_gradient.py",),
    "learning/sac.py": ("learning/test_policy_gradient.py",),
    "learning/dqn.py": ("learning/test_dqn.py",),
    "problems/vm_rescheduling/simulator/objectives.py": ("vm_rescheduling/test_simulator.py",),
    "problems/vm_rescheduling/simulator/rules.py": ("vm_rescheduling/test_simulator.py",),
    "problems/vm_scheduling/simulator/fragmentation.py": ("vm_scheduling/simulator/test_by_hand.py",),
    "problems/vm_scheduling/simulator/heuristics.py": (
        "vm_scheduling/simulator/test_by_hand.py",
        "vm_scheduling/simulator/test_against_reference.py",
    ),
    "problems/vm_scheduling/simulator/rules.py": (
        "vm_scheduling/simulator/test_by_hand.py",
        "vm_scheduling/simulator/test_against_reference.py",
    ),
}
"""Modules, and the tests that are run for a change of each."""
LONGEST_S = 900.0
SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Mutant:
    """A change of one module."""

    module: str
    line: int
    change: str
    source: str


def main(argv: Sequence[str] | None = None) -> int:
    """Try the changes and print what came of them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks mutants",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--count", type=int, default=40, metavar="K", help="changes (40)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="which are drawn (0)")
    parser.add_argument("--module", action="append", choices=TESTS, metavar="FILE", help="of these alone")
    arguments = parser.parse_args(argv)
    modules = arguments.module or list(TESTS)
    every = [mutant for module in modules for mutant in mutants(module)]
    chosen = random.Random(arguments.seed).sample(every, min(arguments.count, len(every)))
    survivors, rows = [], []
    with tempfile.TemporaryDirectory(prefix="mutants-") as name:
        copy = Path(name)
        for part in ("spane_rllib", "tests", "tune_configs", "pyproject.toml"):
            source, ignored = ROOT / part, shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, copy / part, ignore=ignored)
            else:
                shutil.copy(source, copy)
        for module in modules:  # unchanged, they pass, or nothing that follows says anything
            if any(mutant.module == module for mutant in chosen) and not _pass(copy, module):
                print(f"{module}: its tests fail without any change", file=sys.stderr)
                return 1
        for number, mutant in enumerate(chosen, start=1):
            file = copy / "spane_rllib" / mutant.module
            original = file.read_text()
            file.write_text(mutant.source)
            survived = _pass(copy, mutant.module)
            file.write_text(original)
            survivors += [mutant] * survived
            words = "SURVIVED" if survived else "found"
            print(
                f"{number}/{len(chosen)} {mutant.module}:{mutant.line} {mutant.change}: {words}", flush=True
            )
    for module in modules:
        tried = sum(mutant.module == module for mutant in chosen)
        rows.append((module, tried, tried - sum(mutant.module == module for mutant in survivors)))
    rows.append(("all", len(chosen), len(chosen) - len(survivors)))
    print(format_table(["module", "changes", "found"], rows))
    return int(bool(survivors))


def mutants(module: str) -> Iterator[Mutant]:
    """All changes of a module, in the order of its text."""
    text = (ROOT / "spane_rllib" / module).read_text()
    for place in range(len(list(_places(ast.parse(text))))):
        tree = ast.parse(text)
        node, change = list(_places(tree))[place]
        before = ast.unparse(node)
        line = _change(node, change)
        yield Mutant(module, line, f"{before} -> {ast.unparse(node)}", ast.unparse(tree) + "\n")


def _places(tree: ast.Module) -> Iterator[tuple[ast.expr, int]]:
    """Expressions inside functions that `_change` can change, and which of their operators."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    statements = {statement: None for function in functions for statement in function.body}
    nodes = dict.fromkeys(node for statement in statements for node in ast.walk(statement))
    for node in nodes:  # once each, also of a function within another
        if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
            yield node, 0
        elif isinstance(node, ast.Compare):
            yield from ((node, at) for at, op in enumerate(node.ops) if type(op) in SWAPS)
        elif isinstance(node, ast.UnaryOp):
            if isinstance(node.op, ast.USub):
                yield node, 0
        elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
            yield node, 0


def _change(node: ast.expr, at: int) -> int:
    """Change the operator in place; returns the line."""
    if isinstance(node, ast.BinOp | ast.BoolOp):
        node.op = SWAPS[type(node.op)]()  # type: ignore[assignment]
    elif isinstance(node, ast.Compare):
        node.ops[at] = SWAPS[type(node.ops[at])]()  # type: ignore[call-overload]
    elif isinstance(node, ast.UnaryOp):
        node.op = ast.UAdd()
    elif isinstance(node, ast.Constant):
        node.value = node.value + 1  # type: ignore[operator]
    return node.lineno


def _pass(copy: Path, module: str) -> bool:
    """Whether the tests of `module` pass; those that do not end within `LONGEST_S` have failed."""
    tests = [f"tests/{name}" for name in TESTS[module]]
    environment = {**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"}
    # What is compiled of a change is of no use to anybody later.
    environment["NUMBA_CACHE_DIR"] = str(copy / "compiled")
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *tests],
            cwd=copy,
            env=environment,
            capture_output=True,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(run_command(main))
