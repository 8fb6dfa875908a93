"""What `make lint` cannot say of the imports: no circle of files."""

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
