"""Objects that a user names as `module:Name`: code of one's own, loaded because its owner asks for it."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.settings import Settings
from spane_rllib.core.sources import source_digest

ALLOWED = "SPANE_RLLIB_PLUGINS"
"""Environment variable: what files may name as well, separated by commas."""

_named: set[str] = set()


def is_plugin(text: str) -> bool:
    """Whether `text` has the form `package.module:Name`."""
    module, separator, name = text.partition(":")
    return bool(separator) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def load_plugin(text: str) -> Any:
    """The object that `module:Name` means; modules in the current folder are found too.

    Never call it with text out of a file that somebody else may have written, before `check_named`: importing
    runs code.

    Raises:
        UserError: there is no such module or name, or the module fails.
    """
    module_name, _, name = text.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        module = import_module(module_name)
    except ModuleNotFoundError as error:
        raise UserError(
            f"{text}: no module {error.name}; run in the folder that holds it, or install its package"
        ) from error
    except Exception as error:  # somebody's code can raise anything
        raise UserError(one_line(f"{text}: importing {module_name} failed: {error!r}")) from error
    if not hasattr(module, name):
        raise UserError(f"{text}: {module_name} has no {name}")
    _named.add(text)
    return getattr(module, name)


def check_named(text: str) -> None:
    """Raise a `UserError` unless the user has named `module:Name`, to `load_plugin` or in `ALLOWED`."""
    if text not in _named and text not in os.environ.get(ALLOWED, "").split(","):
        raise UserError(
            one_line(f"{text} is code of somebody's own; if you know it, allow it: {ALLOWED}={text}")
        )


def plugin_options(text: str) -> type[Settings]:
    """The attribute `Options` of the class that `module:Class` means; a `UserError` where it has none."""
    options = getattr(load_plugin(text), "Options", None)
    if not (isinstance(options, type) and issubclass(options, Settings)):
        raise UserError(f"network {text}: needs an attribute Options, a subclass of spane_rllib's Settings")
    return options


def plugin_identity(text: str) -> str:
    """`module:Name` and a hash of the code behind it, as far as it has files; load it first."""
    try:
        return f"{text} {source_digest(text.partition(':')[0])}"
    except ModuleNotFoundError:  # made in an interactive session
        return text
