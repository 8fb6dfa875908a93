"""What `make lint` cannot say of the imports: no circle of files."""

import subprocess
import sys

import grimp


def circles(imports: dict[str, set[str]]) -> dict[str, set[str]]:
    """Whatever lies in a circle or between two of them, with what it imports there."""
    left = imports
    while True:
        imported = set().union(*left.values())
        kept = {module: names & left.keys() for module, names in left.items() if names & left.keys()}
        kept = {module: names for module, names in kept.items() if module in imported}
        if kept == left:
            return kept
        left = kept


def test_circles_by_hand() -> None:
    imports = {"a": {"b", "z"}, "b": {"c"}, "c": {"b", "d"}, "d": {"e"}, "e": set[str]()}
    assert circles(imports) == {"b": {"c"}, "c": {"b"}}
    assert circles({"a": {"b"}, "b": {"c"}, "c": set()}) == {}


def test_there_is_no_circle_of_files() -> None:
    graph = grimp.build_graph("spane_rllib", exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 100
    assert circles(imports) == {}


def test_importing_the_package_is_light_and_gymnasium_knows_its_environments_whoever_comes_first() -> None:
    count = "print(sum(name.startswith('spane_rllib/') for name in gymnasium.registry))"
    for code in (
        "import sys, spane_rllib; assert not {'gymnasium', 'numpy', 'pydantic'} & sys.modules.keys();"
        f"import gymnasium; {count}",
        f"import gymnasium, spane_rllib; {count}",
    ):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert int(done.stdout) == 11


def test_a_help_text_needs_neither_numpy_nor_gymnasium() -> None:
    code = (
        "import sys\nfrom importlib import import_module\n"
        "for name in ('evaluate', 'compare', 'tune'):\n"
        "    try: import_module('spane_rllib.' + name).main(['--help'])\n"
        "    except SystemExit: pass\n"
        "print([name for name in ('numpy', 'gymnasium', 'pandas', 'torch', 'ray') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
