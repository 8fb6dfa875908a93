"""The known public datasets: where they are, how to recognise them, under which terms they may be used."""

from __future__ import annotations

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.dataset import Dataset
from spane_rllib.datasets.job_catalog import JOB_DATASETS

_LICENCE = "CC BY-NC 4.0 (non-commercial use, with attribution)"
_VMAGENT = "Sheng et al.: VMAgent: Scheduling Simulator for Reinforcement Learning. arXiv:2112.04785, 2021"

DATASETS = (
    Dataset(
        name="huawei-east-1",
        title="Huawei Cloud, region East 1: one month of VM creations and deletions (event form)",
        file_name="Huawei-East-1.csv",
        urls=(
            "https://raw.githubusercontent.com/huaweicloud/VM-placement-dataset/main/Huawei-East-1/data/"
            "Huawei-East-1.csv",
        ),
        homepage="https://github.com/huaweicloud/VM-placement-dataset",
        size=None,
        sha256=None,
        content_sha256=None,
        form="events",
        licence=_LICENCE,
        citation=_VMAGENT,
        notes=(
            "125,430 creations and 116,313 deletions; the 9,117 VMs without a deletion are dropped by "
            "default. The publisher gives no checksum, so a download cannot be verified."
        ),
    ),
    Dataset(
        name="huawei-east-1-lt",
        title="The 116,313 VMs of Huawei-East-1 with a known lifetime, as used by SPANE (lifetime form)",
        file_name="Huawei-East-1-lt.csv",
        urls=(
            "https://raw.githubusercontent.com/ChanTinPing/SPANE/dad74f5f189da2fe0a7ab1ebfb685d340778f7c6/data/"
            "Huawei-East-1-lt.csv",
        ),
        homepage="https://github.com/ChanTinPing/SPANE",
        size=3_056_573,
        sha256="2094a0c8a793b45c0698451a91a28e6a608447e6aeb439064b645c580dda8cd3",
        content_sha256="b619bca605aa2606374faae090aaf70bae343c3eaaafa8fa060ff1656366a6b4",
        form="lifetimes",
        licence=_LICENCE,
        citation=(
            f"{_VMAGENT}; Chan et al.: Symmetry-Preserving Architecture for Multi-NUMA Environments (SPANE): "
            "A Deep Reinforcement Learning Approach for Dynamic VM Scheduling. arXiv:2504.14946, 2025"
        ),
        # The ranges of the SPANE experiments.
        split_bounds=(50_000, 70_000, 110_000),
    ),
)
"""Of VMs."""
KNOWN = (*DATASETS, *JOB_DATASETS)


def find_dataset(name: str) -> Dataset:
    """The dataset called `name`; a `UserError` lists the known ones."""
    for dataset in KNOWN:
        if dataset.name == name:
            return dataset
    known = ", ".join(dataset.name for dataset in KNOWN)
    raise UserError(f"no dataset is called {name!r}; known: {known}")


def recognise(content_sha256: str) -> Dataset | None:
    """The dataset whose content has this hash, in whatever form it was stored."""
    return next((dataset for dataset in DATASETS if dataset.content_sha256 == content_sha256), None)
