"""Messages of the commands themselves, on standard error, and their exit codes."""

from __future__ import annotations

import os
import sys
from typing import TextIO

DONE, NODE_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def print_message(text: str, program: str = "run-graph") -> None:
    """Print one line to standard error after the program's name; an indented line continues the last one."""
    print(text if text.startswith(" ") else f"{program}: {text}", file=sys.stderr)


def warn(message: str) -> None:
    """Print something that the user should know although nothing has failed."""
    print_message(f"warning: {message}")


def discard_warning(message: str) -> None:
    """Take the place of :func:`warn` where nothing is to be printed."""


def discard_output(stream: TextIO | None = None) -> None:
    """Discard whatever else is printed to the stream (default: standard output): its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())
