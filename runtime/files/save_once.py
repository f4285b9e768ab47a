"""Writing a node's files once, even if the run is killed while writing them.

Before writing, the digests of the files are saved as the node's resume state. When the run is resumed, files
that already exist with one of these digests are kept instead of being written again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from run_graph.graph import Context
from run_graph.runtime.files.inputs import digest
from run_graph.runtime.files.outputs import numbered_files, save_numbered


def save_once(ctx: Context, prefix: str, suffix: str, contents: Sequence[bytes]) -> list[Path]:
    """Write each of `contents` with `save_numbered`, unless this node wrote it before it was killed.

    Returns the files in the order of `contents`, each of which is reported with ``ctx.file_saved`` as soon as
    it is there. Raises SaveError as `save_numbered` does.
    """
    state = ctx.resume_state()
    earlier: list[str] = state["digests"] if state else []
    written = _with_digests(ctx, prefix, suffix, earlier)
    # Keep the earlier digest of a written file: its content may differ from today's, for example in timings.
    digests = [
        earlier[index]
        if index < len(earlier) and earlier[index] in written
        else hashlib.sha256(content).hexdigest()
        for index, content in enumerate(contents)
    ]
    ctx.save_state(digests=digests)
    paths = []
    for name, content in zip(digests, contents, strict=True):
        path = written.get(name) or save_numbered(ctx.output_directory, prefix, suffix, content)
        ctx.file_saved(path)
        paths.append(path)
    return paths


def _with_digests(ctx: Context, prefix: str, suffix: str, digests: Sequence[str]) -> dict[str, Path]:
    """The prefix's files that have one of these digests, by digest."""
    files = numbered_files(ctx.output_directory, prefix, suffix) if digests else []
    return {name: path for path in files if (name := digest(path)) in digests}
