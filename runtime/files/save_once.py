"""Writing a node's files once, even if the run is killed in the middle of it.

What is about to be written is noted first, by its digest, as the node's half-done work. A run that goes on
with such a note takes the files that are there already for its own instead of writing them again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from run_graph.graph import Context
from run_graph.runtime.files.inputs import digest
from run_graph.runtime.files.outputs import numbered_files, save_numbered


def save_once(ctx: Context, prefix: str, suffix: str, contents: Sequence[bytes]) -> list[Path]:
    """Write each of `contents` with `save_numbered`, unless this node did before it was killed.

    Returns the files in the order of `contents`. Raises SaveError as `save_numbered` does.
    """
    half = ctx.resume_state()
    noted: list[str] = half["digests"] if half else []
    there = _among(ctx, prefix, suffix, noted)
    # What an earlier run wrote may differ from what this one would: it tells other seconds.
    digests = [
        noted[index] if index < len(noted) and noted[index] in there else hashlib.sha256(content).hexdigest()
        for index, content in enumerate(contents)
    ]
    ctx.save_state(digests=digests)
    return [
        there.get(name) or save_numbered(ctx.output_directory, prefix, suffix, content)
        for name, content in zip(digests, contents, strict=True)
    ]


def _among(ctx: Context, prefix: str, suffix: str, digests: Sequence[str]) -> dict[str, Path]:
    """Those of the prefix's files that have one of these digests."""
    files = numbered_files(ctx.output_directory, prefix, suffix) if digests else []
    return {name: path for path in files if (name := digest(path)) in digests}
