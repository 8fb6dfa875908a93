"""The Python of docs/deploy.md does what the page says."""

import re
from pathlib import Path
from typing import Any

from spane_rllib.problems.vm_scheduling.deploying import Placement

PAGE = Path(__file__).parents[1] / "docs" / "deploy.md"


def test_placing() -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert "# Placement(server=1, node=1)" in code
    names: dict[str, Any] = {}
    exec(code, names)
    policy, servers, vm = names["policy"], names["servers"], names["spane_rllib"].Vm
    assert policy.act(servers, vm(4, 8)) == Placement(1, 1)
    assert policy.act(servers, vm(8, 16)).node is None
