"""What a problem says so that `python -m spane_rllib.plan` can propose what to do; light until asked."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from typing import ClassVar


class Planning(ABC):
    """Plans for one state of a cluster, which somebody else carries out."""

    description: ClassVar[str]
    """One line for the command's help."""

    @abstractmethod
    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the options that say for what state, and how, a plan is made."""

    @abstractmethod
    def plan(self, arguments: argparse.Namespace) -> str:
        """Make the plan that parsed options ask for, write the files they name, and tell it for a terminal.

        Raises:
            UserError: the state cannot be read or is not legal; nothing is written then.
        """
