"""Recordings of VMAgent (`.p`), as its SchedVis shows them, converted to schedules."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from spane_rllib.errors import UserError
from spane_rllib.schedules.restricted_pickle import LARGEST, as_array, load_plain
from spane_rllib.schedules.schedule import Events, Floats, Schedule, Servers, Vms
from spane_rllib.traces.text import reading

_CREATE, _DELETE = 0, 1


class _Frame(NamedTuple):
    """One placement or departure, and the free resources after it."""

    identity: object
    cpu: float
    memory: float
    double: bool
    time: float
    departure: bool
    slot: int
    free: Floats  # (N, 2, 2) [server, node, (cpu, memory)] cores and GiB


def read_vmagent(file: Path) -> Schedule:
    """The schedule in a VMAgent recording: a pickled list of frames, or `{"name": ..., "data": frames}`.

    The file does not say what a node holds; that follows from the first frame, since episodes begin on empty
    servers. VMs get numbers in order of placement. There is no waiting in VMAgent.

    Raises:
        UserError: the file cannot be read, holds anything but plain data, or its frames contradict each
            other.
    """
    with reading(file):
        if file.stat().st_size > LARGEST:
            raise UserError(f"{file} is larger than {LARGEST:,} bytes; record a shorter episode")
        data = file.read_bytes()
    try:
        loaded = load_plain(data)
        name = file.stem
        if isinstance(loaded, dict):
            name, loaded = loaded.get("name", name), loaded.get("data")
        if not isinstance(name, str) or not isinstance(loaded, list) or not loaded:
            raise ValueError("it holds no list of frames")
        return _convert(list(_frames(loaded)), name, file)
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
            departure, double = kind == _DELETE, bool(request["is_double"])
            yield _Frame(request["uuid"], cpu, memory, double, time, departure, slot, free.astype(np.float64))
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise ValueError(f"frame {index}: {error!r}") from error


def _taken(frame: _Frame) -> Floats:
    """(N, 2, 2) what the VM of `frame` takes of every node."""
    taken = np.zeros_like(frame.free)
    size = np.array([frame.cpu, frame.memory])
    if frame.double:
        taken[frame.slot // 2] = size / 2
    else:
        taken[frame.slot // 2, frame.slot % 2] = size
    return taken


def _convert(frames: list[_Frame], name: str, file: Path) -> Schedule:
    first = frames[0]
    capacity = first.free + _taken(first)
    if first.departure or (capacity[:, 0] != capacity[:, 1]).any():
        raise ValueError("it does not begin with a placement on empty servers of two equal nodes")
    free = capacity.copy()
    alive: dict[object, int] = {}
    vms: list[_Frame] = []
    lifetime: list[float] = []
    event_vm: list[int] = []
    for index, frame in enumerate(frames):
        if frame.departure:
            vm = alive.pop(frame.identity, None)
            if vm is None:
                raise ValueError(f"frame {index}: a VM departs that does not run")
            lifetime[vm] = max(frame.time - vms[vm].time, np.finfo(float).tiny)
            free += _taken(vms[vm])
        else:
            vm = alive[frame.identity] = len(vms)
            vms.append(frame)
            lifetime.append(math.inf)
            free -= _taken(frame)
        event_vm.append(vm)
        if frame.free.shape != free.shape or np.abs(frame.free - free).max() > 1e-3:
            raise ValueError(f"frame {index}: the servers are not what its request makes of them")
    time = np.array([frame.time for frame in vms])
    return Schedule(
        policy=name,
        trace="VMAgent recording",
        trace_sha256="",
        start=0,
        source=f"converted from {file.name}",
        vms=Vms(
            number=np.arange(len(vms)),
            cpu=np.array([frame.cpu for frame in vms]),
            memory=np.array([frame.memory for frame in vms]),
            double=np.array([frame.double for frame in vms]),
            arrival=time,
            lifetime=np.array(lifetime),
            slot=np.array([frame.slot for frame in vms]),
        ),
        events=Events(
            np.array([frame.time for frame in frames]),
            np.array(event_vm),
            np.array([frame.departure for frame in frames]),
        ),
        servers=Servers(capacity[:, 0, 0], capacity[:, 0, 1], np.full(len(capacity), first.time)),
    )
