"""How the synthetic trace is fitted to a real one, and how alike the two are.

    python benchmarks/synthetic_trace.py fit data/Huawei-East-1-lt.csv
    python benchmarks/synthetic_trace.py compare data/Huawei-East-1-lt.csv synthetic synthetic:seed=1

`fit` prints the `BURST_KINDS` of `datasets.vm_traces.synthetic`. A burst is a run of VMs of one
size with at most 2 s (large VMs: 30 minutes) between one and the next. Each size gives one kind of single VMs
and one of true bursts, or only the former where bursts hold under a tenth of its VMs. Figures are rounded to
two digits: summary statistics, not the data.

`compare` prints the tables of `docs/traces.md`: statistics of the traces, and heuristics on 1,000 episodes of
each split on 5 servers of 2 x (40 CPU, 90 GiB).
"""

import sys

import numpy as np

from spane_rllib.datasets.vm_traces.describe import describe
from spane_rllib.datasets.vm_traces.loading import load_trace
from spane_rllib.datasets.vm_traces.splits import SPLIT_NAMES, sample_starts, splits_of
from spane_rllib.datasets.vm_traces.synthetic import LIFETIME_LEVELS, SIZE_LEVELS
from spane_rllib.datasets.vm_traces.trace import VmTrace
from spane_rllib.problems.vm_scheduling.simulator import (
    Cluster,
    Heuristic,
    Workload,
    probe_vm_counts,
    run_heuristic,
)

PAUSE_S = 2.0
LARGE_GIB, LARGE_PAUSE_S = 64, 1800.0
GIANT_GIB, GIANT_SHARE = 128, 0.75
"""Giants as often as measured would make more episodes catastrophic than in Huawei-East-1, where most of them
crowd into a few days."""
FEWEST_VMS = 10

HEURISTICS = ("first-fit", "balance-fit", "sbf", "keep-64")
CATASTROPHE_S = 300_000.0


def rounded(value: float) -> str:
    """Two significant digits, as short Python source."""
    number = float(f"{value:.2g}")
    return (
        f"{number:.0f}" if number < 1e4 else f"{number / 1e3:g}e3" if number < 1e6 else f"{number / 1e6:g}e6"
    )


def kind_line(cpu: float, memory: float, bursts: int, lifetimes: np.ndarray, extra: str = "") -> str:
    share = GIANT_SHARE if memory == GIANT_GIB else 1.0
    quantiles = ", ".join(rounded(value) for value in np.quantile(lifetimes, LIFETIME_LEVELS))
    return f"    BurstKind({cpu:g}, {memory:g}, {round(bursts * share)}, ({quantiles}){extra}),"


def fit(trace: VmTrace) -> None:
    for flavour in describe(trace).flavours:
        if flavour.count < FEWEST_VMS:
            continue
        cpu, memory, large = flavour.cpu, flavour.memory, flavour.memory >= LARGE_GIB
        rows = np.flatnonzero((trace.cpu == cpu) & (trace.memory == memory))
        lifetimes, gaps = trace.lifetime[rows], np.diff(trace.arrival[rows])
        inside = gaps <= (LARGE_PAUSE_S if large else PAUSE_S)
        burst = np.cumsum(np.concatenate([[True], ~inside])) - 1
        sizes = np.bincount(burst)
        single = sizes[burst] == 1
        if np.mean(~single) < 0.1:
            print(kind_line(cpu, memory, len(rows), lifetimes))
            continue
        print(kind_line(cpu, memory, int(single.sum()), lifetimes[single]))
        sizes = sizes[sizes > 1]
        quantiles = ", ".join(rounded(value) for value in np.quantile(sizes, SIZE_LEVELS))
        pause = f", {rounded(gaps[inside].mean())}" if large else ""
        print(kind_line(cpu, memory, len(sizes), lifetimes[~single], f", ({quantiles}){pause}"))


def print_row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |")


def compare(traces: list[VmTrace]) -> None:
    summaries = [describe(trace) for trace in traces]
    print_row("", *(trace.name for trace in traces))
    print_row("---", *("---:" for _ in traces))
    print_row("VMs", *(f"{len(trace):,}" for trace in traces))
    print_row("arrivals (days)", *(f"{s.arrival_span / 86_400:.1f}" for s in summaries))
    print_row("arrivals in the second of the one before", *(f"{s.same_second_share:.1%}" for s in summaries))
    lifetimes = [" / ".join(f"{q:,.0f}" for q in s.lifetime_quartiles) for s in summaries]
    print_row("lifetime quartiles (s)", *lifetimes)
    print_row("lifetime mean (s)", *(f"{s.lifetime_mean:,.0f}" for s in summaries))
    print_row("lifetime maximum (s)", *(f"{s.lifetime_maximum:,.0f}" for s in summaries))
    for demand in summaries[0].load:
        loads = [s.load[demand] for s in summaries]
        print_row(f"{demand}, median / maximum", *(f"{x.median:,.0f} / {x.maximum:,.0f}" for x in loads))
    for flavour in summaries[0].flavours[:13]:
        size = (flavour.cpu, flavour.memory)
        shares = [sum(f.share for f in s.flavours if (f.cpu, f.memory) == size) for s in summaries]
        print_row(f"share of {size[0]:g} x {size[1]:g}", *(f"{share:.2%}" for share in shares))

    print()
    print_row("trace", "split", "VMs per episode, median / mean", *HEURISTICS)
    print_row("---", "---", "---:", *("---:" for _ in HEURISTICS))
    cluster = Cluster(servers=5)
    for trace in traces:
        compiled = Workload(trace, cluster)
        for split in SPLIT_NAMES:
            starts = sample_starts(splits_of(trace), split, 1000, seed=0)
            counts = probe_vm_counts(compiled, cluster, starts)
            waits = [
                run_heuristic(compiled, cluster, Heuristic(name), starts, counts).total_wait
                for name in HEURISTICS
            ]
            cells = [
                f"{np.sort(wait)[100:-100].mean() / 1e3:,.1f}k / {np.mean(wait > CATASTROPHE_S):.1%}"
                for wait in waits
            ]
            print_row(trace.name, split, f"{np.median(counts):,.0f} / {counts.mean():,.0f}", *cells)


if __name__ == "__main__":
    task, *sources = sys.argv[1:]
    if task == "fit":
        fit(load_trace(sources[0]))
    else:
        compare([load_trace(source) for source in sources])
