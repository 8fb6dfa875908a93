"""What is known of one public dataset."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One dataset file.

    Attributes:
        name: what commands call it.
        title: one line for tables.
        file_name: the name under which it is published.
        urls: where it can be downloaded, best first; none: by hand only, as the notes say.
        homepage: the page that describes it.
        size: bytes of the file; None when not known for certain.
        sha256: hash of the file; None when not known for certain, then a download cannot be verified.
        content_sha256: `VmTrace.sha256` after reading it with default options; None when not known.
        form: of VMs: "lifetimes" or "events" (see `vm_traces.readers`), or one of `catalog.PUBLIC_FORMS`,
            which `data convert` reads; of GPU jobs: one of `workloads.settings.FORMS`.
        licence: the terms of use.
        citation: what to cite.
        notes: what else a user should know.
        split_bounds: (a, b, c): train starts are rows [0, a), validation [a, b), test [b, c); None for the
            general fractions.
        about: "VMs", or "GPU jobs" where the problem `gpu_jobs` reads it.
    """

    name: str
    title: str
    file_name: str
    urls: tuple[str, ...]
    homepage: str
    size: int | None = None
    sha256: str | None = None
    content_sha256: str | None = None
    form: str
    licence: str
    citation: str
    notes: str = ""
    split_bounds: tuple[int, int, int] | None = None
    about: str = "VMs"
