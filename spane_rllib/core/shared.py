"""Large objects of this process by name, so that settings can call them by it.

Workers of a cluster get such objects through an object store and not from files, which they may not have.
"""

from __future__ import annotations

from typing import Any

_PROVIDED: dict[str, Any] = {}


def provide(name: str, value: Any) -> None:
    """Let `name` mean `value` in this process from now on."""
    _PROVIDED[name] = value


def provided(name: str) -> Any | None:
    """What `name` means in this process, or None."""
    return _PROVIDED.get(name)
