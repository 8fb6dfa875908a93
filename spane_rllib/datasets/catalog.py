"""The known public datasets: where they are, how to recognise them, under which terms they may be used."""

from __future__ import annotations

from spane_rllib.core.errors import UserError
from spane_rllib.datasets.dataset import Dataset
from spane_rllib.datasets.job_catalog import JOB_DATASETS

PUBLIC_FORMS = ("azure-packing2020", "azure-vmtable", "alibaba2018", "google2011", "google2019")
"""Tables that `public_tables` makes traces of."""

_LICENCE = "CC BY-NC 4.0 (non-commercial use, with attribution)"
_CC_BY = "CC BY (with attribution)"
_CONVERT = "spane-rllib data convert IN OUT --form"
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
    Dataset(
        name="azure-packing-2020",
        title="Azure, one zone: 14 days of VM requests for evaluating packing (SQLite in a zip)",
        file_name="AzurePackingTraceV1.zip",
        urls=(
            "https://github.com/Azure/AzurePublicDataset/releases/download/dataset-packing-2020/"
            "azurevmallocation_dataset2020_AzurePackingTraceV1.zip",
        ),
        homepage="https://github.com/Azure/AzurePublicDataset/blob/master/AzureTracesForPacking2020.md",
        form="azure-packing2020",
        licence=_CC_BY,
        citation="Hadary et al.: Protean: VM Allocation Service at Scale. OSDI 2020",
        notes=f"unzip it, then {_CONVERT} azure-packing2020 --machine CORESxGIB: it has shares of a machine.",
    ),
    Dataset(
        name="azure-vmtable-2019",
        title="Azure 2019 (V2): 30 days of first-party VMs, sizes in buckets",
        file_name="vmtable.csv.gz",
        urls=(
            "https://azurecloudpublicdataset2.z19.web.core.windows.net/azurepublicdatasetv2/trace_data/vmtable/"
            "vmtable.csv.gz",
        ),
        homepage="https://github.com/Azure/AzurePublicDataset/blob/master/AzurePublicDatasetV2.md",
        form="azure-vmtable",
        licence=_CC_BY,
        citation="Cortez et al.: Resource Central. SOSP 2017",
        notes=f"{_CONVERT} azure-vmtable. VMs above the largest bucket are dropped: their size is not known.",
    ),
    Dataset(
        name="alibaba-2018",
        title="Alibaba cluster-trace-v2018: 8 days of batch tasks (batch_task)",
        file_name="batch_task.tar.gz",
        urls=("http://clusterdata2018pubcn.oss-cn-beijing.aliyuncs.com/batch_task.tar.gz",),
        homepage="https://github.com/alibaba/clusterdata/tree/master/cluster-trace-v2018",
        form="alibaba2018",
        licence="for research and study, as its page says; no licence is named",
        citation="Guo et al.: Who Limits the Resource Efficiency of My Datacenter. IWQoS 2019",
        notes=f"unpack it, then {_CONVERT} alibaba2018 --machine CORESxGIB. Served without TLS.",
    ),
    Dataset(
        name="google-2011",
        title="Google cluster-usage traces, version 2: 29 days, the first of 500 files of task_events",
        file_name="part-00000-of-00500.csv.gz",
        urls=("https://storage.googleapis.com/clusterdata-2011-2/task_events/part-00000-of-00500.csv.gz",),
        homepage="https://github.com/google/cluster-data/blob/master/ClusterData2011_2.md",
        form="google2011",
        licence=_CC_BY,
        citation="Reiss, Wilkes, Hellerstein: Google cluster-usage traces: format + schema. 2011",
        notes=f"{_CONVERT} google2011 --machine CORESxGIB. Join files in their order for longer traces.",
    ),
    Dataset(
        name="google-2019",
        title="Google cluster-usage traces, version 3: May 2019, instance_events as CSV",
        file_name="instance_events.csv",
        urls=(),
        homepage="https://github.com/google/cluster-data/blob/master/ClusterData2019.md",
        form="google2019",
        licence=_CC_BY,
        citation="Tirmazi et al.: Borg: the Next Generation. EuroSys 2020",
        notes=f"export it from BigQuery, then {_CONVERT} google2019 --machine CORESxGIB.",
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
