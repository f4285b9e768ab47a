"""The commands as processes of their own: started as the shell starts them, on pipes or on a terminal."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")

RUN_GRAPH = "run_graph"
MFLUX = "mflux_generate_redux_advanced"


def command(name: str = RUN_GRAPH) -> list[str]:
    """What the installed script of a command does."""
    script = f"import sys; from run_graph.runtime.cli.start import {name} as main; sys.exit(main())"
    return [sys.executable, "-c", script]


def heed_signals() -> None:
    # A shell without job control makes its background jobs ignore Ctrl-C; a test run in one hands that on.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


def started(folder: Path, *arguments: str, name: str = RUN_GRAPH) -> "subprocess.Popen[str]":
    """The command in a folder, heeding signals, with pipes for its output."""
    return subprocess.Popen(
        [*command(name), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_signals,
    )


def on_a_terminal(
    folder: Path, *arguments: str, columns: int = 100, both: bool = False, **environment: str
) -> tuple[str, str]:
    """Standard output, and what a terminal of so many columns got on standard error, or on both."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [*command(), *arguments],
        cwd=folder,
        stdout=terminal if both else subprocess.PIPE,
        stderr=terminal,
        env={**os.environ, "TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40", **environment},
    ) as process:
        os.close(terminal)
        received = b""
        try:
            while chunk := os.read(controller, 65536):
                received += chunk
        except OSError:  # Linux: the other end has closed
            pass
        finally:
            os.close(controller)
        printed = "" if process.stdout is None else process.stdout.read().decode()
        assert process.wait(timeout=60) == 0
    return printed, received.decode()


def lines_on_screen(received: str) -> list[str]:
    """Each line that a terminal was sent, without its escapes; bars that were drawn over as well."""
    return [line.rstrip() for line in ANSI.sub("", received).replace("\r", "\n").splitlines() if line.strip()]
