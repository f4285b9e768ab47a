"""``run-graph worker ADDRESS``: this machine computes for a dask scheduler until it is stopped."""

from __future__ import annotations

import os
import signal
from argparse import RawDescriptionHelpFormatter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from run_graph.runtime.cli.cache_options import add_cache_arguments
from run_graph.runtime.cli.cluster_options import address_argument
from run_graph.runtime.cli.memory_options import add_memory_arguments
from run_graph.runtime.cli.options import CacheOptions
from run_graph.runtime.cli.parser import CommandParser
from run_graph.runtime.cli.terminal import BAD_INPUT, print_message, warn

if TYPE_CHECKING:
    import asyncio

_PROGRAM = "run-graph worker"

_EPILOG = """\
The scheduler is dask's: `dask scheduler` starts one, and says its address. All machines need the same
versions of run-graph, Python and MLX, and the same models; see docs/cluster.md.
"""


@dataclass(frozen=True)
class WorkerOptions:
    """The command line of ``run-graph worker``; the fields are as those of ``run-graph``."""

    scheduler: str
    name: str | None
    memory_limit: int | None
    low_ram: bool
    offline: bool
    cache: CacheOptions


def parse(arguments: Sequence[str]) -> WorkerOptions:
    """Parse the command line. If it is wrong, a message is printed and the process exits with code 2."""
    from run_graph.runtime.cli.namespace import from_namespace

    return from_namespace(WorkerOptions, build_parser().parse_all(arguments))


def build_parser() -> CommandParser:
    """The parser; each destination is a field of :class:`WorkerOptions` or of its cache options."""
    parser = CommandParser(
        _PROGRAM,
        description="Compute for a dask scheduler until Ctrl-C; models and results are kept meanwhile.",
        epilog=_EPILOG,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "scheduler",
        type=address_argument,
        metavar="ADDRESS",
        help="of the scheduler, such as tcp://192.168.1.5:8786",
    )
    parser.add_argument("--name", metavar="NAME", help="what dask calls this worker (default: its address)")
    add_memory_arguments(parser)
    parser.add_argument(
        "--offline",
        action="store_true",
        help="do not use the network except for the cluster: a model that is not on this machine is an error",
    )
    add_cache_arguments(parser)
    return parser


def run_worker(arguments: Sequence[str]) -> int:
    """Work until a signal ends it; returns the exit code: 128 and the signal's number, or 2 for bad input."""
    options = parse(arguments)
    from run_graph.runtime.cluster.errors import ClusterError
    from run_graph.runtime.cluster.start import require_distributed
    from run_graph.runtime.files.atomic import SaveError

    try:
        require_distributed()
        return _work(options)
    except (ClusterError, SaveError) as error:
        print_message(str(error), _PROGRAM)
        return BAD_INPUT


def _work(options: WorkerOptions) -> int:
    import asyncio

    from run_graph.runtime.cache.open import chosen_cache
    from run_graph.runtime.cluster.start import silence_dask
    from run_graph.runtime.cluster.worker import WorkerSettings, work
    from run_graph.runtime.models.hub import offline

    silence_dask()
    cache = chosen_cache(options.cache.no_cache, options.cache.cache_dir, warn)
    settings = WorkerSettings(options.scheduler, options.memory_limit, options.low_ram, options.name)
    received: list[int] = []

    async def until_signalled() -> None:
        ended = asyncio.Event()
        _handle_signals(ended, received)
        await work(settings, cache, lambda line: print_message(line, _PROGRAM), ended)

    with offline(options.offline):
        asyncio.run(until_signalled())
    how = signal.Signals(received[0])
    print_message("interrupted" if how == signal.SIGINT else f"interrupted by {how.name}", _PROGRAM)
    os._exit(128 + received[0])  # not after a node that is still in the middle of its last step


def _handle_signals(ended: asyncio.Event, received: list[int]) -> None:
    import asyncio

    def end(number: int) -> None:
        received.append(number)
        ended.set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:
            asyncio.get_running_loop().add_signal_handler(number, end, number)
