"""SECURITY.md promises that nothing is unpickled and that YAML is read safely; this looks at every call.

The exceptions are `restricted_pickle.py`, which may subclass `pickle.Unpickler` and nothing more, and
the `networks/published.py` of two problems, which may call `torch.load` with `weights_only=True`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import spane_rllib

PACKAGE = Path(spane_rllib.__file__).parent
UNSAFE_LOADERS = {
    "yaml.unsafe_load",
    "yaml.full_load",
    "yaml.load_all",
    "yaml.UnsafeLoader",
    "yaml.FullLoader",
}
PICKLES = {"pickle", "cloudpickle", "ray.cloudpickle", "dill", "joblib", "shelve", "marshal"}
RESTRICTED = PACKAGE / "problems" / "vm_scheduling" / "recordings" / "restricted_pickle.py"
PUBLISHED = PACKAGE / "problems" / "vm_scheduling" / "networks" / "published.py"
GPU_PUBLISHED = PACKAGE / "problems" / "gpu_jobs" / "networks" / "published.py"
EXCEPTIONS = {
    RESTRICTED: ["import pickle"],
    PUBLISHED: ["torch.load(weights_only=True)"],
    GPU_PUBLISHED: ["torch.load(weights_only=True)"],
}
UNPACKING = {"extractall", "unpack_archive"}  # members may name paths outside the folder
RUNS_CODE = {"torch.load", "numpy.load", "np.load", "eval", "exec", "os.system"}


def dotted(node: ast.AST) -> str:
    """`a.b.c` of a name or attribute; a part that is neither is ""."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def unsafe_uses(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of everything in `source` that could run code out of a file or write outside a folder."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = getattr(node, "module", None)
            names = {alias.name if module is None else f"{module}.{alias.name}" for alias in node.names}
            for name in names | ({module} if module else set()):
                if name in PICKLES | UNSAFE_LOADERS | RUNS_CODE:
                    yield node.lineno, f"import {name}"
        elif isinstance(node, ast.Attribute) and dotted(node) in UNSAFE_LOADERS:
            yield node.lineno, dotted(node)
        elif isinstance(node, ast.Call):
            name = dotted(node.func)
            keywords = {keyword.arg: keyword.value for keyword in node.keywords}
            allow = keywords.get("allow_pickle")
            if allow is not None and not (isinstance(allow, ast.Constant) and allow.value is False):
                yield node.lineno, "allow_pickle"
            if name == "yaml.load" and not is_safe_loader(source, node):
                yield node.lineno, "yaml.load"
            elif name in ("np.load", "numpy.load"):
                if allow is None:
                    yield node.lineno, f"{name} without allow_pickle=False"
            elif name == "torch.load" and is_true(keywords.get("weights_only")):
                yield node.lineno, "torch.load(weights_only=True)"
            elif name in RUNS_CODE or name.split(".")[0] in PICKLES or name.split(".")[-1] in UNPACKING:
                yield node.lineno, name


def is_true(node: ast.AST | None) -> bool:
    """Whether it is the word True."""
    return isinstance(node, ast.Constant) and node.value is True


def is_safe_loader(source: str, call: ast.Call) -> bool:
    """Whether `yaml.load` is given a loader that the same file derives from `yaml.SafeLoader`."""
    safe = {"yaml.SafeLoader", "yaml.CSafeLoader"}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef) and {dotted(base) for base in node.bases} & safe:
            safe.add(node.name)
    loaders = call.args[1:] + [keyword.value for keyword in call.keywords if keyword.arg == "Loader"]
    return len(loaders) == 1 and dotted(loaders[0]) in safe


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_nothing_in_the_package_runs_code_from_files(path: Path) -> None:
    uses = [name for _, name in unsafe_uses(path.read_text(encoding="utf-8"))]
    assert uses == EXCEPTIONS.get(path, [])


def test_the_restricted_unpickler_uses_pickle_only_as_a_base_that_looks_names_up_itself() -> None:
    tree = ast.parse(RESTRICTED.read_text(encoding="utf-8"))
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    unpicklers = [node for node in classes if [dotted(base) for base in node.bases] == ["pickle.Unpickler"]]
    assert [node.name for node in unpicklers] == ["_RestrictedUnpickler"]
    (find_class,) = unpicklers[0].body
    assert isinstance(find_class, ast.FunctionDef) and find_class.name == "find_class"
    assert "super" not in {node.id for node in ast.walk(find_class) if isinstance(node, ast.Name)}
    uses = [node for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id == "pickle"]
    assert len(uses) == 1


@pytest.mark.parametrize(
    "source",
    [
        "import pickle\npickle.load(stream)",
        "from ray import cloudpickle\ncloudpickle.loads(data)",
        "from pickle import load",
        "import torch\ntorch.load(path, weights_only=True)",
        "from torch import load",
        "yaml.load(text)",
        "yaml.load(text, yaml.Loader)",
        "class L(yaml.FullLoader): ...\nyaml.load(text, L)",
        "yaml.unsafe_load(text)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.lib.format.read_array(stream, allow_pickle=flag)",
        "zipfile.ZipFile(path).extractall(folder)",
        "shutil.unpack_archive(path)",
        "eval(text)",
    ],
)
def test_the_search_finds_unsafe_code(source: str) -> None:
    assert list(unsafe_uses(source))


@pytest.mark.parametrize(
    "source",
    [
        "yaml.safe_load(text)",
        "class L(yaml.SafeLoader): ...\nyaml.load(text, Loader=L)",
        "np.load(path, allow_pickle=False)",
        "safetensors.torch.load(data)",
        "import torch\nnetwork.load_state_dict(state)",
    ],
)
def test_the_search_lets_safe_code_pass(source: str) -> None:
    assert list(unsafe_uses(source)) == []
