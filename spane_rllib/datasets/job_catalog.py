"""The known public datasets of GPU jobs."""

from __future__ import annotations

from spane_rllib.datasets.dataset import Dataset

_ALIBABA = "https://github.com/alibaba/clusterdata/tree/master"
_ALIBABA_TERMS = "no licence named; its publisher allows any use for research or study"
_REFERENCE = "https://github.com/HenryAJX/DRL_Scheduler"
_PAI = (
    "Weng et al.: MLaaS in the Wild: Workload Analysis and Scheduling in Large-Scale Heterogeneous GPU "
    "Clusters. NSDI 2022"
)


def _of_reference(name: str, jobs: int, what: str, size: int | None, sha256: str | None) -> Dataset:
    return Dataset(
        name=f"drl-scheduler-{name.partition('_workload')[0].replace('_', '-')}",
        title=f"{jobs:,} GPU jobs of Alibaba PAI 2020 as DRL_Scheduler uses them: {what}",
        file_name=f"{name}.csv",
        urls=(
            "https://raw.githubusercontent.com/HenryAJX/DRL_Scheduler/"
            f"7a7ad9e14eccc3f887f9187a0dede92c4ab32e1b/alibaba_batches/{name}.csv",
        ),
        homepage=_REFERENCE,
        size=size,
        sha256=sha256,
        form="csv",
        licence=f"MIT (the repository); the trace: {_ALIBABA_TERMS}",
        citation=f"{_PAI}; DRL_Scheduler, {_REFERENCE}",
        about="GPU jobs",
    )


JOB_DATASETS = (
    _of_reference(
        *("low_workload", 18_845, "at most one GPU, up to 567 s", 447_128),
        "f49943bda2888c01654563be6fec4a98fbea507c1e95b093167f8f26111ea64c",
    ),
    _of_reference(
        *("medium_workload", 91_485, "what is neither low nor heavy", 2_297_830),
        "3c4dc25f350e4f1761c199ad36f951a0aa0d51ea0bd2eca27c379fa61d754088",
    ),
    _of_reference("heavy_workload", 6_386, "more than 4 GPUs, from 8,925 s", None, None),
    _of_reference(
        *("batch_1", 116_717, "the first of four batches, for training", 2_693_396),
        "e8c541065e83b7d16cf2b13ef14001413340f5914a28af94300cbc11a1dff416",
    ),
    Dataset(
        name="alibaba-pai-2020",
        title="Alibaba PAI: tasks of two months of 2020 on 6,500 GPUs",
        file_name="pai_task_table.tar.gz",
        urls=("https://aliopentrace.oss-cn-beijing.aliyuncs.com/v2020GPUTraces/pai_task_table.tar.gz",),
        homepage=f"{_ALIBABA}/cluster-trace-gpu-v2020",
        sha256="cd1d6dc3215d2a8607ccf6b6dd952b5db776df86926c73259fea7c1499ac40e5",
        form="pai2020",
        licence=_ALIBABA_TERMS,
        citation=_PAI,
        notes="unpack it (tar -xzf) and read pai_task_table.csv",
        about="GPU jobs",
    ),
    Dataset(
        name="alibaba-openb-2023",
        title="Alibaba openb: 8,152 pods that share GPUs",
        file_name="openb_pod_list_default.csv",
        urls=(
            "https://raw.githubusercontent.com/alibaba/clusterdata/50a91c7c74abe3b658188dc78ac1dd302970d40c/"
            "cluster-trace-gpu-v2023/csv/openb_pod_list_default.csv",
        ),
        homepage=f"{_ALIBABA}/cluster-trace-gpu-v2023",
        form="openb2023",
        licence=_ALIBABA_TERMS,
        citation=(
            "Weng et al.: Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation "
            "Gradient Descent. USENIX ATC 2023"
        ),
        about="GPU jobs",
    ),
    Dataset(
        name="philly",
        title="Microsoft Philly: 117,325 training jobs of 2017",
        file_name="cluster_job_log",
        urls=(),
        homepage="https://github.com/msr-fiddle/philly-traces",
        form="philly",
        licence="no licence named; given as it is, citation asked for",
        citation=(
            "Jeon et al.: Analysis of Large-Scale Multi-Tenant GPU Clusters for DNN Training Workloads. "
            "USENIX ATC 2019"
        ),
        notes=(
            "get trace-data.tar.gz (1 GB, Git LFS) from https://github.com/msr-fiddle/philly-traces, unpack "
            "it and read cluster_job_log"
        ),
        about="GPU jobs",
    ),
    Dataset(
        name="helios",
        title="SenseTime Helios: six months of 2020, 1.6 million GPU jobs in four clusters",
        file_name="cluster_log.csv",
        urls=(),
        homepage="https://github.com/S-Lab-System-Group/HeliosData",
        form="helios",
        licence="CC BY 4.0",
        citation=(
            "Hu et al.: Characterization and Prediction of Deep Learning Workloads in Large-Scale GPU "
            "Datacenters. SC 2021"
        ),
        notes=(
            "get the data from https://github.com/S-Lab-System-Group/HeliosData and read cluster_log.csv of "
            "a cluster"
        ),
        about="GPU jobs",
    ),
    Dataset(
        name="google-2011-jobs",
        title="Google Borg: 29 days of May 2011 on 12,500 machines, without GPUs",
        file_name="part-00000-of-00500.csv.gz",
        urls=(),
        homepage="https://github.com/google/cluster-data/blob/master/ClusterData2011_2.md",
        form="google2011",
        licence="CC BY 4.0",
        citation="Reiss, Wilkes and Hellerstein: Google cluster-usage traces: format + schema. Google, 2011",
        notes=(
            "https://github.com/google/cluster-data/blob/master/ClusterData2011_2.md says how; read a part "
            "of task_events"
        ),
        about="GPU jobs",
    ),
    Dataset(
        name="google-2019-jobs",
        title="Google Borg: May 2019 in eight cells, without GPUs",
        file_name="instance_events.csv",
        urls=(),
        homepage="https://github.com/google/cluster-data/blob/master/ClusterData2019.md",
        form="google2019",
        licence="CC BY 4.0",
        citation="Tirmazi et al.: Borg: the Next Generation. EuroSys 2020",
        notes=(
            "https://github.com/google/cluster-data/blob/master/ClusterData2019.md says how; export rows of "
            "instance_events from BigQuery as CSV"
        ),
        about="GPU jobs",
    ),
)
