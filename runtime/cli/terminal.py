"""Speaking to the shell: messages of the command itself, and its exit codes."""

from __future__ import annotations

import os
import sys
from typing import TextIO

DONE, NODE_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def say(line: str, program: str = "run-graph") -> None:
    """Print a message to standard error; an indented line continues the one before."""
    print(line if line.startswith(" ") else f"{program}: {line}", file=sys.stderr)


def warn(message: str) -> None:
    """Print what the user should know although nothing has failed."""
    say(f"warning: {message}")


def discard(message: str) -> None:
    """Say nothing."""


def discard_output(stream: TextIO | None = None) -> None:
    """Send whatever is still printed (to standard output) to nowhere: its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())
