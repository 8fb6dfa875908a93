"""From what `cluster` names to a cluster: a preset, a YAML file, or the JSON that kubectl prints."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial

from spane_rllib.core.errors import UserError
from spane_rllib.core.reading import reading, user_path
from spane_rllib.core.shared import provided
from spane_rllib.core.words import suggestion
from spane_rllib.datasets.text import read_text
from spane_rllib.problems.pod_migration.clusters.cluster import PodCluster, equal_cluster

PRESETS: dict[str, Callable[[], PodCluster]] = {
    "published": partial(equal_cluster, "published", 10, 50, 100.0, 5.0),
    "published-96": partial(equal_cluster, "published-96", 96, 100, 100.0, 5.0),
}
"""The published presets: 10 nodes of 100 / 100 and 50 pods of 5 / 5, five to a node; and the later one."""


def load_cluster(source: str | os.PathLike[str]) -> PodCluster:
    """The cluster that `source` means.

    Args:
        source: what `core.shared.provide` has given that name; one of `PRESETS`; the path of a YAML file (see
        `yaml_file`); or of what
            `kubectl get nodes,pods -A -o json` prints (see `kubectl`).

    Raises:
        UserError: there is no such cluster, or the file is not valid.
    """
    text = os.fspath(source)
    shared = provided(text)
    if isinstance(shared, PodCluster):
        return shared
    if text in PRESETS:
        return PRESETS[text]()
    file = user_path(text)
    with reading(file):
        if not file.is_file():
            raise UserError(
                f"cluster {text!r}: no such file, and no such preset; {suggestion(text, PRESETS)}"
            )
    content = read_text(file)
    if content.lstrip().startswith("{"):
        from spane_rllib.problems.pod_migration.clusters.kubectl import read_kubectl

        return read_kubectl(content, str(file), file.stem)
    from spane_rllib.problems.pod_migration.clusters.yaml_file import read_cluster_yaml

    return read_cluster_yaml(content, str(file), file.stem)
