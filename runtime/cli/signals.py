"""Ctrl-C, SIGTERM and SIGHUP end a command in one line with a meaningful exit code, never in a traceback.

A command is in one of three states:

- before and after a run, nothing can be lost: a signal ends the process at once;
- in a run (:class:`Interruptible`) the first signal raises KeyboardInterrupt, and the run keeps its state;
- after that, signals are ignored for a second, because many come twice: a terminal and a program such as
  ``uv run`` each send one. If the run has still not ended then, the next signal ends the process at once.

This is imported before anything else and therefore imports little. A signal that the process was started to
ignore, as ``nohup`` does with SIGHUP, stays ignored.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time

TYPE_CHECKING = False  # typing's constant without importing typing
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType, TracebackType
    from typing import Any

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")
_PATIENCE = 1.0  # seconds in which further signals are taken for the first one
_SHOW_CURSOR = b"\x1b[?25h"


class StopSignals:
    """The signals that ask a command to end.

    Attributes
    ----------
    program : str
        The command's name, for its messages.
    received : int or None
        The number of the signal that interrupted the run.
    """

    def __init__(self) -> None:
        self.program = "run-graph"
        self.received: int | None = None
        self._since = 0.0
        self._owns_process = False

    def own_process(self) -> None:
        """From now on a signal ends this process, outside a run at once. For a process's own command only."""
        if self._owns_process:
            return
        self._owns_process = True
        for number in self._handled():
            signal.signal(number, self._end_at_once)
        sys.unraisablehook = _without_interrupts
        atexit.register(self._ignore_all)  # while Python takes itself apart it can no longer run a handler

    def how(self) -> str:
        """How the run was interrupted, for a message."""
        return _how(self.received or signal.SIGINT)

    def exit_code(self) -> int:
        """130 after Ctrl-C; in general 128 and the signal's number, as the shell reports it."""
        return 128 + (self.received or signal.SIGINT)

    def begin(self, stop: Callable[[], None]) -> dict[int, Any]:
        """Let the first signal call ``stop`` and raise KeyboardInterrupt; returns the handlers until now."""
        self.received = None

        def interrupt(number: int, frame: FrameType | None) -> None:
            if self.received is None:
                self.received, self._since = number, time.monotonic()
                stop()
                raise KeyboardInterrupt
            if time.monotonic() - self._since > _PATIENCE:
                self._end_at_once(self.received, frame)

        return {number: signal.signal(number, interrupt) for number in self._handled()}

    def end(self, earlier: dict[int, Any]) -> None:
        """Go back to the earlier handlers, unless this process is to end because of a signal."""
        if self.received is None or not self._owns_process:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def _handled(self) -> list[int]:
        """The signals that were not ignored from the start; none on another thread than the main one."""
        if threading.current_thread() is not threading.main_thread():
            return []
        numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]
        return [number for number in numbers if signal.getsignal(number) not in (signal.SIG_IGN, None)]

    def _end_at_once(self, number: int, frame: FrameType | None) -> None:
        ending = _SHOW_CURSOR if self.received is not None and os.isatty(2) else b""
        try:
            os.write(2, ending + f"{self.program}: {_how(number)}\n".encode())
        except OSError:  # nobody can be told
            pass
        finally:
            os._exit(128 + number)

    def _ignore_all(self) -> None:
        for number in self._handled():
            signal.signal(number, signal.SIG_IGN)


SIGNALS = StopSignals()


class Interruptible:
    """A block that a signal interrupts with KeyboardInterrupt, once.

    The exception may come at any point: inside a destructor Python drops it, and inside a library's import it
    may come out as another error. Therefore ``stop`` is called as well, and whatever error ends the block
    after a signal is KeyboardInterrupt again.

    Parameters
    ----------
    stop : callable
        Asks the work to stop at its next step, such as :meth:`runtime.engine.context.CancelToken.cancel`.
    """

    def __init__(self, stop: Callable[[], None] = lambda: None) -> None:
        self._stop = stop
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> None:
        self._earlier = SIGNALS.begin(self._stop)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        SIGNALS.end(self._earlier)
        if SIGNALS.received is not None and isinstance(error, Exception):
            raise KeyboardInterrupt from error


def _how(number: int) -> str:
    return "interrupted" if number == signal.SIGINT else f"interrupted by {signal.Signals(number).name}"


def _without_interrupts(unraisable: sys.UnraisableHookArgs) -> None:
    """Report what went wrong where nobody could catch it, except that it was interrupted."""
    if unraisable.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(unraisable)
