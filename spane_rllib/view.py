"""`python -m spane_rllib.view`: look at recordings."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from spane_rllib.core.console import Parser, run_command, whole_number
from spane_rllib.core.errors import UserError
from spane_rllib.problems.viewing import Viewer

_EPILOG = """Record episodes with `python -m spane_rllib.evaluate ... --record DIR`. Two files are shown side
by side, decision by decision; they must be of the same problem, and of the same arrivals. The page needs no
network."""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m spane_rllib.view",
        description="Show recordings in the browser, or export them.",
        epilog=_EPILOG,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help="recording (.npz, .json), or one of VMAgent (.p); a folder lists the recordings in it",
    )
    parser.add_argument("second", metavar="FILE2", nargs="?", help="another policy on the same arrivals")
    parser.add_argument(
        "--export",
        metavar="OUT",
        help="write a self-contained page (.html) or an animation (.gif, .mp4) instead of showing it",
    )
    parser.add_argument(
        "--port", type=whole_number(0, 65535), default=0, help="on this machine (default: any free one)"
    )
    parser.add_argument("--no-browser", action="store_true", help="print the address only")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see `--help`."""
    arguments = _parser().parse_args(argv)
    from spane_rllib.core.files import check_file_writable, write_text
    from spane_rllib.viewer.page import render_page

    suffix = Path(arguments.export).suffix.lower() if arguments.export is not None else None
    if suffix not in (None, ".html", ".gif", ".mp4"):
        raise UserError(f"cannot write {arguments.export}: the name must end in .html, .gif or .mp4")
    if suffix is not None:
        check_file_writable(arguments.export)
    if arguments.second is None and Path(arguments.file).is_dir():
        print(_listing(Path(arguments.file)))
        return 0
    files = [Path(file) for file in (arguments.file, arguments.second) if file is not None]
    opened = [_open(file) for file in files]
    viewer = opened[0][0]
    if opened[-1][0] is not viewer:
        raise UserError(f"{files[0]} and {files[1]} are of different problems; give two of one")
    recordings = [viewer.read(file, content) for file, (_, content) in zip(files, opened, strict=True)]
    if len(recordings) == 2:
        viewer.check_pair(*recordings)
    page = viewer.page(recordings)
    if suffix is None:
        _serve(render_page(page), arguments.port, browser=not arguments.no_browser)
    elif suffix == ".html":
        write_text(arguments.export, render_page(page))
    else:
        from spane_rllib.viewer.animation import write_animation

        write_animation(arguments.export, viewer.animation(recordings))
    return 0


def _listing(folder: Path) -> str:
    """The recordings in a folder and those below it, and how to show one."""
    files = sorted(
        file for file in folder.rglob("*") if file.suffix in (".npz", ".json", ".p") and file.is_file()
    )
    if not files:
        raise UserError(
            f"{folder}: no recordings (.npz, .json, .p) in this folder; {_EPILOG.splitlines()[0]}"
        )
    lines = [f"{file}  ({file.stat().st_size / 1000:,.0f} kB)" for file in files]
    return "\n".join([*lines, "", f"python -m spane_rllib.view {files[0]}"])


def _open(file: Path) -> tuple[Viewer, Mapping[str, Any]]:
    """What shows a recording, and its content if it is JSON, which names its problem; else VM scheduling."""
    from spane_rllib.core.plugins import check_named, is_plugin
    from spane_rllib.problems.recordings import SUFFIX, read_recording
    from spane_rllib.problems.registry import DEFAULT, find_problem

    name, content = read_recording(file) if file.suffix == SUFFIX else (DEFAULT, {})
    if is_plugin(name):  # the file may be a stranger's, and importing runs code
        check_named(name)
    viewer = find_problem(name).viewer
    if viewer is None:
        raise UserError(f"{file}: recordings of the problem {name} cannot be shown")
    return viewer, content


def _serve(page: str, port: int, browser: bool) -> None:
    import webbrowser
    from contextlib import suppress

    from spane_rllib.viewer.server import PageServer

    with PageServer(page, port) as server, suppress(KeyboardInterrupt):
        print(f"{server.url} (Ctrl-C ends)", flush=True)
        if browser:
            webbrowser.open(server.url)
        server.serve_forever()


if __name__ == "__main__":
    sys.exit(run_command(main))
