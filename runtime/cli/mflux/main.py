"""The ``mflux-generate-redux-advanced`` command, as the shell starts it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from functools import partial

from run_graph.runtime.cli.mflux.arguments import PROGRAM, parse
from run_graph.runtime.cli.terminal import BAD_INPUT, DONE, INTERRUPTED, NODE_FAILED, discard_output, say

_say = partial(say, program=PROGRAM)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (default: the process's own).

    Returns
    -------
    int
        The exit code: 0 done, 1 a node failed, 2 bad input, 130 interrupted.
    """
    try:
        return _execute(parse(argv))
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return DONE


def _execute(arguments: Namespace) -> int:
    from run_graph.graph.faults import WorkflowError
    from run_graph.runtime.cli.mflux.invocation import job_of
    from run_graph.runtime.cli.mflux.run import run
    from run_graph.runtime.errors import Cancelled, NodeFailed
    from run_graph.runtime.files.atomic import SaveError
    from run_graph.runtime.formats.mflux.errors import CommandError
    from run_graph.runtime.units import bytes_text

    try:
        job = job_of(arguments)
        for note in job.notes:
            _say(note)
        finished = run(job, arguments)
        for path in finished.pictures:
            print(path)
        _say(f"peak MLX memory: {bytes_text(finished.peak_bytes)}")
        return DONE
    except (CommandError, WorkflowError, SaveError) as error:
        _say(str(error))
        return BAD_INPUT
    except NodeFailed as error:
        _report(error, arguments.verbose)
        return NODE_FAILED
    except Cancelled as error:
        _say(str(error))
        return INTERRUPTED


def _report(error: Exception, verbose: bool) -> None:
    if verbose:
        import traceback

        traceback.print_exception(error.__cause__)
    _say(str(error))
