"""The sources that a module is made of: its own file and those of the modules that it imports, and so on.

Read from the files, so that the answer depends neither on what a process has imported nor on the order.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

_PACKAGE = __name__.partition(".")[0]
_INSTALLED = {"site-packages", "dist-packages"}
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


_Imports = tuple[tuple[str, tuple[str, ...]], ...]
"""Modules as they are written, and the names that are taken from each."""


def source_digest(*modules: str) -> str:
    """A SHA-256 over the sources of modules, given by their full names, and over all that they import.

    Imports count wherever they stand, inside functions too, but not under `if TYPE_CHECKING`. They are
    followed into the packages of the modules, into this package, into whatever lies outside `site-packages`,
    and into installed modules that name this package; the standard library and other installed packages count
    as given, and so do data files and what is imported by a computed name. Nothing is imported to find out.

    Raises ModuleNotFoundError for a module without a source file.
    """
    files = {}
    for module in modules:
        file = _file(module)
        if file is None:
            raise ModuleNotFoundError(f"no source file of {module!r}")
        files[module] = file
    return _digest(files)


def function_digest(function: object) -> str | None:
    """`source_digest` of the module that defines a function, also while that module is still being imported.

    None if the function has no file of its own, as one typed at a prompt.
    """
    file = Path(function.__code__.co_filename)  # type: ignore[attr-defined]
    if not file.is_file():
        return None
    # A script's module is called __main__ in one process and by its own name in the next.
    variables = function.__globals__  # type: ignore[attr-defined]
    spec = variables.get("__spec__")
    return _digest({spec.name if spec else variables["__name__"]: file})


def _digest(files: dict[str, Path]) -> str:
    ours = frozenset({_PACKAGE, *(module.partition(".")[0] for module in files)})
    found: dict[str, str] = {}
    waiting = list(files.items())
    while waiting:
        module, file = waiting.pop()
        if module in found:
            continue
        found[module], imports = _read(file, *_version(file))
        package = module if file.name == "__init__.py" else module.rpartition(".")[0]
        waiting += _followed(imports, package, ours)
    lines = "".join(f"{module} {digest}\n" for module, digest in sorted(found.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def _version(file: Path) -> tuple[int, int]:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


@cache
def _read(file: Path, _changed: int, _size: int) -> tuple[str, _Imports]:
    content = file.read_bytes()
    return hashlib.sha256(content).hexdigest(), tuple(_imports(content))


@cache
def _names_this_package(file: Path) -> bool:
    return _PACKAGE.encode() in file.read_bytes()


def _imports(content: bytes) -> Iterator[tuple[str, tuple[str, ...]]]:
    try:
        waiting: list[ast.AST] = [ast.parse(content)]
    except (SyntaxError, ValueError):  # what cannot be imported leaves nothing in compiled code
        return
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
                if alias.asname is None:  # binds the outermost package, whose names can be used too
                    yield from ((alias.name[:at], ()) for at, mark in enumerate(alias.name) if mark == ".")
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or ""), tuple(alias.name for alias in node.names)
        for block in _BLOCKS[1:] if _for_type_checkers(node) else _BLOCKS:
            waiting += getattr(node, block, ())


def _for_type_checkers(node: ast.AST) -> bool:
    if not isinstance(node, ast.If):
        return False
    test = node.test
    return "TYPE_CHECKING" in (getattr(test, "id", None), getattr(test, "attr", None))


def _followed(imports: _Imports, package: str, ours: frozenset[str]) -> Iterator[tuple[str, Path]]:
    for written, names in imports:
        try:
            module = importlib.util.resolve_name(written, package) if written.startswith(".") else written
        except ImportError:  # in a script, which has no package around it
            continue
        outermost = module.partition(".")[0]
        if outermost in sys.stdlib_module_names:
            continue
        # What `from module import name` takes is a module of that name or stands in the module.
        modules = {f"{module}.{name}" if _file(f"{module}.{name}") else module for name in names} or {module}
        for each in modules:
            file = _file(each)
            if file and (outermost in ours or _INSTALLED.isdisjoint(file.parts) or _names_this_package(file)):
                yield each, file


@cache
def _file(module: str) -> Path | None:
    """Where a module's source lies, without importing the packages around it."""
    outermost, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(outermost)
    except (ImportError, ValueError):  # such as __main__
        return None
    if spec is None:
        return None
    folders = spec.submodule_search_locations
    if not inner and not folders:
        return _existing(Path(spec.origin)) if spec.has_location and spec.origin else None
    for folder in folders or ():
        place = Path(folder, *inner)
        file = _existing(place / "__init__.py") or (_existing(Path(f"{place}.py")) if inner else None)
        if file:
            return file
    return None


def _existing(file: Path) -> Path | None:
    return file if file.suffix == ".py" and file.is_file() else None
