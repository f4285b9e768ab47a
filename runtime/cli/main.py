"""The ``run-graph`` command, as the shell starts it.

Everything heavier than the parser is imported only after the arguments have been parsed. So ``--help``
answers at once, and Ctrl-C during the imports ends the command as it does at any other time.
"""

from __future__ import annotations

from collections.abc import Sequence

from run_graph.runtime.cli.arguments import parse
from run_graph.runtime.cli.terminal import run_command


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: those of the process).

    Returns
    -------
    int
        The exit code: 0 done, 1 a node failed, 2 bad input, 130 interrupted.
    """
    return run_command(lambda: _execute(argv), "run-graph")


def _execute(argv: Sequence[str] | None) -> int:
    options = parse(argv)
    from run_graph.runtime.cli.command import execute

    return execute(options)
