"""Which files a digest of sources stands for."""

import sys
from pathlib import Path

import pytest

import spane_rllib
from spane_rllib.core import sources
from spane_rllib.core.sources import source_digest

FILES = {
    "start.py": """
from typing import TYPE_CHECKING
import numpy as np
import json
import inner.deep as deep
from inner import sibling, NAME
if TYPE_CHECKING:
    from inner import only_types
else:
    import otherwise

def work():
    try:
        import lazy
    finally:
        pass
""",
    "inner/__init__.py": "NAME = 1",
    "inner/deep.py": "from . import relative\nfrom .. import beyond",
    "inner/relative.py": "import start  # a circle",
    "inner/sibling.py": "",
    "inner/only_types.py": "",
    "otherwise.py": "",
    "lazy.py": "import outer.module",
    "outer/__init__.py": "",
    "outer/module.py": "",
    "outer/other.py": "",
    "beside.py": "",
    "site-packages/installed.py": "LIMIT = 1",
    "site-packages/builds_on_us.py": "import spane_rllib.core.errors",
}
COUNTED = {
    "start.py",
    "inner/__init__.py",
    "inner/deep.py",
    "inner/relative.py",
    "inner/sibling.py",
    "otherwise.py",
    "lazy.py",
    "outer/__init__.py",
    "outer/module.py",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, source in FILES.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
    monkeypatch.syspath_prepend(tmp_path / "site-packages")
    monkeypatch.syspath_prepend(tmp_path)
    for remembered in (sources._file, sources._names_this_package):
        remembered.cache_clear()
    return tmp_path


def counted(folder: Path, *modules: str) -> set[str]:
    """The files whose change changes the digest."""
    before = source_digest(*modules)
    changing = set()
    for name in FILES:
        file = folder / name
        source = file.read_text()
        file.write_text(f"{source}\n# changed\n")
        if source_digest(*modules) != before:
            changing.add(name)
        file.write_text(source)
    assert source_digest(*modules) == before
    return changing


def test_a_module_counts_with_all_that_it_imports(folder: Path) -> None:
    assert counted(folder, "start") == COUNTED


def test_several_modules_count_together(folder: Path) -> None:
    assert counted(folder, "beside", "outer.module") == {"beside.py", "outer/module.py"}


def test_installed_modules_count_if_they_are_asked_for_or_build_on_this_package(folder: Path) -> None:
    (folder / "beside.py").write_text("import installed, builds_on_us")
    assert counted(folder, "beside") == {"beside.py", "site-packages/builds_on_us.py"}
    assert counted(folder, "installed") == {"site-packages/installed.py"}


def test_nothing_is_imported_to_find_out(folder: Path) -> None:
    source_digest("start", "inner.deep")
    assert not {"start", "inner", "outer"} & set(sys.modules)


def test_a_module_without_a_source_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"no source file of 'spane_rllib\.nowhere'"):
        source_digest("spane_rllib.nowhere")


def test_kernels_do_not_depend_on_what_shows_their_results(monkeypatch: pytest.MonkeyPatch) -> None:
    read: set[str] = set()
    original = sources._read

    def noting(file: Path, changed: int, size: int) -> object:
        read.add(str(file.relative_to(root)))
        return original(file, changed, size)

    root = Path(spane_rllib.__file__).parents[1]
    monkeypatch.setattr(sources, "_read", noting)
    kernels = [
        ".".join(file.relative_to(root).with_suffix("").parts)
        for file in root.glob("spane_rllib/**/*.py")
        if "core.compiling import" in file.read_text()
    ]
    assert len(kernels) > 10
    source_digest(*kernels)
    assert "spane_rllib/core/compiling.py" in read
    rooms = {Path(file).parts[1] for file in read}
    assert not rooms & {"experiments", "rllib", "cluster", "viewer"}
