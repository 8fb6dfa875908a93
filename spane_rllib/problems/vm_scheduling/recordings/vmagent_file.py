"""Recordings of VMAgent (`.p`), as its SchedVis shows them, converted to schedules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spane_rllib.core.errors import UserError, one_line
from spane_rllib.core.reading import read_bytes
from spane_rllib.problems.vm_scheduling.recordings.restricted_pickle import LARGEST, as_array, load_plain
from spane_rllib.problems.vm_scheduling.recordings.schedule import (
    MAX_VMS,
    Events,
    Floats,
    Schedule,
    Servers,
    Vms,
)

_CREATE, _DELETE = 0, 1
_ROUNDING = 1e-3  # cores or GiB; some recordings are of single precision


class _Vm(NamedTuple):
    cpu: float  # cores
    memory: float  # GiB
    double: bool
    slot: int

    def taken(self, servers: int) -> Floats:
        """(N, 2, 2) [server, node, (cpu, memory)] what it takes of every node."""
        taken = np.zeros((servers, 2, 2))
        size = np.array([self.cpu, self.memory])
        if self.double:
            taken[self.slot // 2] = size / 2
        else:
            taken[self.slot // 2, self.slot % 2] = size
        return taken


class _Frame(NamedTuple):
    """One placement or departure, and the free resources after it."""

    identity: str
    vm: _Vm
    time: float  # seconds
    departure: bool
    free: Floats  # (N, 2, 2) as of _Vm.taken


def read_vmagent(file: Path) -> Schedule:
    """The schedule in a VMAgent recording: a pickled list of frames, or `{"name": ..., "data": frames}`.

    The file does not say what a node holds; that follows from the first frame, since episodes begin on empty
    servers. VMs get numbers in order of placement. There is no waiting in VMAgent.

    Raises:
        UserError: the file cannot be read, holds anything but plain data, or its frames contradict each
            other.
    """
    data = read_bytes(file, LARGEST, "a recording")
    try:
        loaded = load_plain(data)
        name = file.stem
        if isinstance(loaded, dict):
            name, loaded = loaded.get("name", name), loaded.get("data")
        if not isinstance(name, str) or not isinstance(loaded, list) or not loaded:
            raise ValueError("it holds no list of frames")
        if len(loaded) > 2 * MAX_VMS:
            raise ValueError(f"{len(loaded):,} frames; allowed are {2 * MAX_VMS:,}")
        return _convert(_frames(loaded), one_line(name), file)
    except (ValueError, TypeError, OverflowError, MemoryError) as error:
        raise UserError(f"{file}: not a valid VMAgent recording ({error}); record it again") from error


def _frames(loaded: list[Any]) -> Iterator[_Frame]:
    for index, frame in enumerate(loaded):
        try:
            request, free = frame["request"], as_array(frame["server"])
            kind, slot = request["type"], frame["action"]
            if kind not in (_CREATE, _DELETE) or not isinstance(slot, int) or free.ndim != 3:
                raise ValueError("its type, action or server is wrong")
            cpu, memory, time = (float(request[name]) for name in ("cpu", "mem", "time"))
            if free.shape[1:] != (2, 2) or not 0 <= slot < 2 * len(free):
                raise ValueError("its server or action is wrong")
            if not all(map(math.isfinite, (cpu, memory, time))):
                raise ValueError("its request is wrong")
            vm = _Vm(cpu, memory, bool(request["is_double"]), slot)
            identity = request["uuid"]
            if not isinstance(identity, str | int | float):
                raise ValueError("its uuid is neither text nor a number")
            # Text: whole numbers can be chosen so that a dictionary of them becomes slow.
            yield _Frame(f"{identity!r}", vm, time, kind == _DELETE, free.astype(np.float64))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(f"frame {index}: {error!r}") from error


def _convert(frames: Iterator[_Frame], name: str, file: Path) -> Schedule:
    vms: list[_Vm] = []
    arrival: list[float] = []
    lifetime: list[float] = []
    events: list[tuple[float, int, bool]] = []
    running: dict[str, int] = {}
    free = capacity = np.zeros((0, 2, 2))
    for index, frame in enumerate(frames):
        if index == 0:
            capacity = frame.free + frame.vm.taken(len(frame.free))
            if frame.departure or (capacity[:, 0] != capacity[:, 1]).any():
                raise ValueError("it does not begin with a placement on empty servers of two equal nodes")
            free = capacity
        if frame.departure:
            if frame.identity not in running:
                raise ValueError(f"frame {index}: a VM departs that does not run")
            vm = running.pop(frame.identity)
            lifetime[vm] = frame.time - arrival[vm] or np.finfo(float).tiny
            free = free + vms[vm].taken(len(free))
        else:
            vm = running[frame.identity] = len(vms)
            vms.append(frame.vm)
            arrival.append(frame.time)
            lifetime.append(math.inf)
            free = free - frame.vm.taken(len(free))
        events.append((frame.time, vm, frame.departure))
        if frame.free.shape != free.shape or np.abs(frame.free - free).max() > _ROUNDING:
            raise ValueError(f"frame {index}: the servers are not what its request makes of them")
    cpu, memory, double, slot = map(np.array, zip(*vms, strict=True))
    return Schedule(
        policy=name,
        trace="VMAgent recording",
        trace_sha256="",
        start=0,
        source=one_line(f"converted from {file.name}"),
        vms=Vms(np.arange(len(vms)), cpu, memory, double, np.array(arrival), np.array(lifetime), slot),
        events=Events(*map(np.array, zip(*events, strict=True))),
        servers=Servers.of_two_nodes(
            capacity[:, 0, 0], capacity[:, 0, 1], np.full(len(capacity), arrival[0])
        ),
        scenario="VMAgent",
    )
