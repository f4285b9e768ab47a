"""Messages of the commands themselves, on standard error, and their exit codes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable
from typing import TextIO

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

DONE, NODE_FAILED, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def run_command(work: Callable[[], int], program: str) -> int:
    """Run a command from its first import on; Ctrl-C, a closed pipe or a broken MLX end it in a line.

    Returns
    -------
    int
        The exit code of the work; 130 after Ctrl-C; 0 if the reader of standard output has gone; 1 if MLX
        cannot be imported.
    """
    _prepare_streams()
    try:
        return work()
    except KeyboardInterrupt:
        print_message("interrupted", program)
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return DONE
    except ImportError:
        from run_graph.runtime.mlx_backend import mlx_fault

        fault = mlx_fault()
        if fault is None:
            raise
        print_message(fault, program)
        return NODE_FAILED


def _prepare_streams() -> None:
    """Make standard output and error usable whatever they are: printing must not fail a run.

    A stream that was closed before the start is replaced by one that discards; a character that the
    terminal's encoding lacks is shown as an escape.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_message(text: str, program: str = "run-graph") -> None:
    """Print one line to standard error after the program's name; an indented line continues the last one."""
    line = text if text.startswith(" ") else f"{program}: {text}"
    with contextlib.suppress(OSError):  # nobody can be told
        print(visible(line), file=sys.stderr)


def print_result(text: str, stream: TextIO | None = None) -> None:
    """Print text to standard output, now. If it cannot be written, say so once and go on without it.

    Raises
    ------
    BrokenPipeError
        If the reader has gone: most commands then have nothing left to do.
    """
    stream = stream or sys.stdout
    try:
        print(visible(text), file=stream, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output(stream)
        print_message(f"standard output cannot be written: {error.strerror or error}; the run continues")


def visible(text: str) -> str:
    """The text with control characters, such as a terminal's escapes, shown instead of obeyed.

    Line breaks and tabs stay. The escapes are those of JSON, so that a line of JSON stays one.
    """
    return _CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def warn(message: str) -> None:
    """Print something that the user should know although nothing has failed."""
    print_message(f"warning: {message}")


def discard_warning(message: str) -> None:
    """Take the place of :func:`warn` where nothing is to be printed."""


def discard_output(stream: TextIO | None = None) -> None:
    """Discard whatever else is printed to the stream (default: standard output): its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())
