"""Refusing to run in a process that was forked after a run: MLX's and BLAS's threads do not survive a fork.

Without this the child waits forever for a thread that it does not have.
"""

from __future__ import annotations

import os
import sys

_has_computed = False  # in this process or the one it was forked from
_is_forked = False


def note_run() -> None:
    """A run has ended: from now on a fork cannot compute, if MLX is loaded."""
    global _has_computed
    _has_computed = _has_computed or "mlx.core" in sys.modules


def check_not_forked() -> None:
    """Raise RuntimeError in a process that was forked after a run."""
    if _is_forked:
        raise RuntimeError(
            "this process was forked from one that had already computed with MLX, which cannot work; start "
            'a fresh process, for example with multiprocessing.get_context("spawn")'
        )


def _after_fork() -> None:
    global _is_forked
    _is_forked = _has_computed


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_after_fork)
