"""Messages of the commands themselves, on standard error, and their exit codes."""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
from collections.abc import Callable
from typing import Any, TextIO, cast

from run_graph.runtime.cli.signals import SIGNALS

_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

_LONG = 300  # characters

DONE, NODE_FAILED, BAD_INPUT = 0, 1, 2


def run_command(work: Callable[[], int], program: str) -> int:
    """Run a command from its first import on; Ctrl-C, a closed pipe or a broken MLX end it in a line.

    Returns
    -------
    int
        The exit code of the work; 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP; 0 if the reader of
        standard output has gone; 1 if MLX cannot be imported.
    """
    SIGNALS.program = program
    _prepare_streams()
    try:
        return work()
    except KeyboardInterrupt:
        print_message(SIGNALS.how(), program)
        return SIGNALS.exit_code()
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
    """Print one line to standard error after the program's name; an indented line continues the last one.

    What is very long in it, such as a text or an id of a workflow, is shortened in its middle.
    """
    line = text if text.startswith(" ") else f"{program}: {text}"
    print_lines(visible(line if len(line) < _LONG else _shortened_lines(line)))


def _shortened_lines(text: str) -> str:
    # Imported here because --help does without the graph package.
    from run_graph.graph.short_text import shortened

    return "\n".join(map(shortened, text.split("\n")))


def print_lines(text: str) -> None:
    """Print lines to standard error as they are, now."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # nobody can be told
        with contextlib.suppress(OSError):
            discard_output(sys.stderr)


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


class LenientStream:
    """A text stream that drops what cannot be written: nobody's printing may fail a run.

    Everything but writing is the stream's own.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text if the stream takes it."""
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream if it takes what is waiting."""
        with contextlib.suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def lenient(stream: TextIO) -> TextIO:
    """The stream as one that drops what cannot be written."""
    return cast(TextIO, LenientStream(stream))


def can_show(text: str, encoding: str) -> bool:
    """Whether an encoding has all of these characters."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def discard_output(stream: TextIO | None = None) -> None:
    """Discard whatever else is printed to the stream (default: standard output): its reader has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), (stream or sys.stdout).fileno())
