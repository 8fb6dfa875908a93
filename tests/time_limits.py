"""How long tests wait before they call something hung: long, since a busy machine is no failure.

`SPANE_RLLIB_TEST_PATIENCE=4` makes all of it four times as long.
"""

import os

_PATIENCE = float(os.environ.get("SPANE_RLLIB_TEST_PATIENCE", "1"))

ANSWER_S = 120 * _PATIENCE
"""For an answer of a process that is up, or for the end of one that was told to stop."""

COMMAND_S = 900 * _PATIENCE
"""For a command that may compile, start Ray and train."""

TEST_S = 2400 * _PATIENCE
"""For a whole test with its fixtures."""
