"""Where mappings come from: a name, a file or a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from spane_rllib.core.errors import UserError
from spane_rllib.core.reading import opened
from spane_rllib.problems.vm_rescheduling.mappings.mapping import Mapping
from spane_rllib.problems.vm_rescheduling.mappings.published_format import read_published, write_published
from spane_rllib.problems.vm_rescheduling.mappings.synthetic import KINDS, SPLITS, generate
from spane_rllib.problems.vm_rescheduling.mappings.tables import SUFFIXES, read_tables, write_tables

PUBLISHED = {"medium@published": "medium", "large@published": "large"}
"""The two mappings that are shipped."""
_FILES = (".json", ".json.gz", *SUFFIXES)
_FOLDERS = {"train": "train", "validation": "dev", "test": "test"}


def read_mapping(path: str | Path) -> Mapping:
    """The mapping in a file, by the end of its name, or a shipped one; raises `UserError`."""
    text = str(path)
    if text in PUBLISHED:
        name = PUBLISHED[text]
        return read_published(Path(__file__).parent / "published" / f"{name}.json.gz")
    if text.endswith(SUFFIXES):
        return read_tables(path)
    if text.endswith((".json", ".json.gz")):
        return read_published(path)
    raise UserError(f"mapping {text}: must end in {', '.join(_FILES)}, or be {' or '.join(PUBLISHED)}")


def write_mapping(mapping: Mapping, path: str | Path) -> None:
    """Write a mapping in the form that the end of the name says; raises `UserError`."""
    if str(path).endswith(SUFFIXES):
        write_tables(mapping, path)
    elif str(path).endswith((".json", ".json.gz")):
        write_published(mapping, path)
    else:
        raise UserError(f"mapping {path}: must end in {', '.join(_FILES)}")


@dataclass(frozen=True)
class Mappings:
    """Numbered mappings.

    Args:
        source: a kind in `synthetic.KINDS`, a shipped mapping, a file, or a folder of files.
        machines: another number of machines of a synthetic kind.
    """

    source: str
    machines: int | None = None

    def __post_init__(self) -> None:
        if self.synthetic:
            return
        if not self.files:
            raise UserError(f"mappings {self.source}: no file in the folder ends in {', '.join(_FILES)}")
        if self.machines is not None:
            raise UserError(f"machines: only synthetic mappings have any number of them, not {self.source}")

    @property
    def synthetic(self) -> bool:
        """Whether they are made and not read."""
        return self.source in KINDS

    @cached_property
    def files(self) -> tuple[str, ...]:
        """What is read, in the order of numbers."""
        return _files(self.source)

    def numbers(self, split: str) -> Sequence[int]:
        """Those of a split; of a folder without the folders train, dev and test, all."""
        if self.synthetic:
            return range(*SPLITS[split])
        within = [
            number for number, file in enumerate(self.files) if Path(file).parent.name == _FOLDERS[split]
        ]
        divided = any(Path(file).parent.name in _FOLDERS.values() for file in self.files)
        return within if divided else range(len(self.files))

    def draw(self, split: str, count: int | str, seed: int) -> npt.NDArray[np.int64]:
        """(E,) numbers of mappings in ascending order, all of a split or drawn without repetition."""
        every = np.array(self.numbers(split), np.int64)
        if not len(every):
            raise UserError(f"split {split}: there are no mappings in it")
        if count == "all" or int(count) >= len(every):
            return every
        return np.sort(np.random.default_rng(seed).choice(every, int(count), replace=False))

    def __getitem__(self, number: int) -> Mapping:
        return _mapping(self.source, self.machines, number)

    def name(self, number: int) -> str:
        """Of a mapping, without reading it."""
        if self.synthetic:
            return f"{self.source}{self.machines or ''}-{number}"
        name = Path(self.files[number]).name
        return next((name.removesuffix(end) for end in _FILES[::-1] if name.endswith(end)), name)

    @cached_property
    def sha256(self) -> str:
        """A hash of all that decides them."""
        digest = hashlib.sha256(f"{self.source if self.synthetic else ''} {self.machines}".encode())
        for file in () if self.synthetic else self.files:
            if file in PUBLISHED:
                digest.update(file.encode())
                continue
            with opened(file) as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()


@lru_cache(maxsize=64)
def _mapping(source: str, machines: int | None, number: int) -> Mapping:
    return generate(source, number, machines) if source in KINDS else read_mapping(_files(source)[number])


def _files(source: str) -> tuple[str, ...]:
    if source in PUBLISHED:
        return (source,)
    path = Path(source)
    if path.is_dir():
        found = sorted(
            file
            for file in path.rglob("*")
            if file.name.endswith(_FILES) and file.is_file() and not file.name.startswith(".")
        )
        return tuple(map(str, found))
    if not path.exists():
        raise UserError(
            f"mappings {source}: neither a kind ({', '.join(KINDS)}), nor {' or '.join(PUBLISHED)}, nor a "
            "file or folder"
        )
    if not source.endswith(_FILES):
        raise UserError(f"mappings {source}: the name of the file must end in {', '.join(_FILES)}")
    return (source,)
