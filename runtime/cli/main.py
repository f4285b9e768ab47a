"""The ``run-graph`` command, as the shell starts it.

Everything heavier than the parser is imported only after the arguments have been parsed, so that ``--help``
answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from run_graph.runtime.cli.arguments import parse
from run_graph.runtime.cli.signals import SIGNALS
from run_graph.runtime.cli.terminal import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: those of the process).

    Returns
    -------
    int
        The exit code: 0 done, 1 a node failed, 2 bad input; 130, 143 or 129 after Ctrl-C, SIGTERM or SIGHUP.
    """
    if argv is None:
        SIGNALS.own_process()
    return run_command(lambda: _execute(argv), "run-graph")


def _execute(argv: Sequence[str] | None) -> int:
    given = sys.argv[1:] if argv is None else list(argv)
    if given and given[0] in SUBCOMMANDS:
        return SUBCOMMANDS[given[0]](given[1:])
    options = parse(given)
    from run_graph.runtime.cli.command import execute

    return execute(options)


def _serve(arguments: Sequence[str]) -> int:
    from run_graph.runtime.cli.serve_command import run_server

    return run_server(arguments)


def _worker(arguments: Sequence[str]) -> int:
    from run_graph.runtime.cli.worker_command import run_worker

    return run_worker(arguments)


SUBCOMMANDS: dict[str, Callable[[Sequence[str]], int]] = {"serve": _serve, "worker": _worker}
"""What runs instead, by the first argument; a file of such a name is given as ``./worker``."""
