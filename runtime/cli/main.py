"""The ``run-graph`` command, as the shell starts it.

Everything heavier than parsing the arguments is imported when they are known, so that ``--help`` answers
at once, and Ctrl-C during the imports ends like Ctrl-C at any other time.
"""

from __future__ import annotations

from collections.abc import Sequence

from run_graph.runtime.cli.arguments import parse
from run_graph.runtime.cli.terminal import DONE, INTERRUPTED, discard_output, say


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's own).

    Returns
    -------
    int
        The exit code: 0 done, 1 a node failed, 2 bad input, 130 interrupted.
    """
    try:
        arguments = parse(argv)
        from run_graph.runtime.cli.command import execute

        return execute(arguments)
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return DONE
