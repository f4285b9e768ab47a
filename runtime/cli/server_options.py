"""``--server``: a run on a server that is already there."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from typing import TYPE_CHECKING

from run_graph.runtime.cli.parser import text_argument
from run_graph.runtime.remote.errors import ServerError
from run_graph.runtime.remote.url import TOKEN_VARIABLE, checked_url

if TYPE_CHECKING:
    from run_graph.runtime.cli.options import Options


def add_server_arguments(parser: ArgumentParser) -> None:
    """Add the options of :class:`runtime.cli.options.ServerOptions`."""
    group = parser.add_argument_group("on a server")
    group.add_argument(
        "--server",
        type=_address,
        metavar="URL",
        help="run on this server, `run-graph serve` or ComfyUI, such as http://127.0.0.1:8188: pictures are "
        "uploaded, results come into the output folder, and models stay in the server's memory",
    )
    group.add_argument(
        "--token", type=text_argument, help=f"with --server: the token it wants (default: {TOKEN_VARIABLE})"
    )


def check_server(options: Options, parser: ArgumentParser) -> None:
    """Refuse options that do not fit together."""
    remote = options.remote
    if remote.server is None:
        if remote.token is not None:
            parser.error("--token is for a server; give --server too")
        return
    if options.actions.save_model is not None:
        parser.error("--save-model writes a model of this machine; leave out --server")
    for option in _local(options):
        parser.error(f"{option} is about runs on this machine; leave it out with --server")


def _local(options: Options) -> Iterator[str]:
    """The options given that have no effect on a server."""
    given = {
        "--cluster": options.machines.cluster,
        "--workers": options.machines.workers,
        "--memory-limit": options.memory.memory_limit,
        "--low-ram": options.memory.low_ram,
        "--memory-report": options.memory.memory_report,
        "--no-cache": options.cache.no_cache,
        "--cache-dir": options.cache.cache_dir,
        "--models-dir": options.models_dirs,
        "--offline": options.offline,
        "--strict": options.reporting.strict,
        "--contact-sheet": options.contact_sheet,
    }
    yield from (option for option, value in given.items() if value)


def _address(text: str) -> str:
    try:
        return checked_url(text)
    except ServerError as error:
        raise ArgumentTypeError(str(error)) from None
