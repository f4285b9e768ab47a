"""The ``mflux-generate-redux-advanced`` command, as the shell starts it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from run_graph.runtime.cli.mflux.arguments import PROGRAM, parse
from run_graph.runtime.cli.signals import SIGNALS
from run_graph.runtime.cli.terminal import BAD_INPUT, DONE, NODE_FAILED, print_message, run_command

if TYPE_CHECKING:
    from run_graph.runtime.cli.mflux.flags import Flags

_print_message = partial(print_message, program=PROGRAM)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: those of the process).

    Returns
    -------
    int
        The exit code: 0 done, 1 a node failed, 2 bad input, 130 stopped by the battery limit; 130, 143 or 129
        after Ctrl-C, SIGTERM or SIGHUP.
    """
    if argv is None:
        SIGNALS.own_process()
    return run_command(lambda: _execute(parse(argv)), PROGRAM)


def _execute(flags: Flags) -> int:
    from run_graph.graph.faults import WorkflowError
    from run_graph.runtime.cli.mflux.invocation import invocation_of
    from run_graph.runtime.cli.mflux.run import run
    from run_graph.runtime.errors import Cancelled, NodeFailed
    from run_graph.runtime.files.atomic import SaveError
    from run_graph.runtime.formats.mflux.errors import CommandError
    from run_graph.runtime.units import bytes_text

    try:
        invocation = invocation_of(flags)
        for note in invocation.notes:
            _print_message(note)
        peak_bytes = run(invocation, flags)
        _print_message(f"peak MLX memory: {bytes_text(peak_bytes)}")
        return DONE
    except (CommandError, WorkflowError, SaveError) as error:
        _print_message(str(error))
        return BAD_INPUT
    except NodeFailed as error:
        _report(error, flags.verbose)
        return NODE_FAILED
    except Cancelled as error:
        _print_message(str(error))
        return SIGNALS.exit_code()


def _report(error: Exception, verbose: bool) -> None:
    if verbose:
        import traceback

        traceback.print_exception(error.__cause__)
    _print_message(str(error))
