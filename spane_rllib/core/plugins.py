"""Objects that a user names as `module:Name`: code of one's own, loaded because its owner asks for it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from spane_rllib.core.errors import UserError, one_line


def is_plugin(text: str) -> bool:
    """Whether `text` has the form `package.module:Name`."""
    module, separator, name = text.partition(":")
    return bool(separator) and name.isidentifier() and all(part.isidentifier() for part in module.split("."))


def load_plugin(text: str) -> Any:
    """The object that `module:Name` means; modules in the current folder are found too.

    Never call it with text out of a file that somebody else may have written: importing runs code.

    Raises:
        UserError: there is no such module or name, or the module fails.
    """
    module_name, _, name = text.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, here)
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
    return getattr(module, name)
