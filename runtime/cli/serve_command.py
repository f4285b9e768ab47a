"""``run-graph serve``: its options, and what ends it before it serves."""

from __future__ import annotations

import ipaddress
import secrets
import sqlite3
from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from run_graph.graph.faults import WorkflowError
from run_graph.graph.registry import Registry, installed_nodes
from run_graph.runtime.cli.cache_options import add_cache_arguments
from run_graph.runtime.cli.cluster_options import add_cluster_arguments, check_machines, chosen_executor
from run_graph.runtime.cli.memory_options import add_memory_arguments
from run_graph.runtime.cli.models_dir_option import add_models_dir_argument, searching
from run_graph.runtime.cli.node_file_option import add_nodes_argument
from run_graph.runtime.cli.options import ClusterOptions
from run_graph.runtime.cli.parser import CommandParser, path_argument, text_argument
from run_graph.runtime.cli.terminal import BAD_INPUT, DONE, print_message, warn
from run_graph.runtime.cluster.errors import ClusterError

_NEEDED = ("starlette", "uvicorn", "websockets", "python_multipart")


def run_server(argv: Sequence[str]) -> int:
    """Serve with these arguments, which follow ``serve``; returns the exit code."""
    parser = serve_parser()
    parsed = parser.parse_all(argv)
    if not _is_loopback(parsed.listen) and not (parsed.token or parsed.no_token):
        suggestion = secrets.token_urlsafe(24)
        parser.error(
            f"--listen {parsed.listen} lets other machines in: give a token (--token {suggestion}), or "
            "--no-token if everybody who reaches the address may use it"
        )
    check_machines(ClusterOptions(parsed.cluster, parsed.workers, parsed.any_device), parser)
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        print_message(
            f"serve needs the packages of the extra 'serve', of which {', '.join(missing)} is missing: "
            "uv run --extra serve run-graph serve, or pip install 'run-graph[serve]'"
        )
        return BAD_INPUT
    return _serve(parsed)


def serve_parser() -> CommandParser:
    """The parser of what follows ``serve``."""
    parser = CommandParser(
        "run-graph serve",
        description="Serve ComfyUI's API, and its editor in the browser, over run-graph's nodes.",
    )
    parser.add_argument(
        "--listen",
        default="127.0.0.1",
        type=text_argument,
        metavar="ADDRESS",
        help="where to listen (default: 127.0.0.1, this machine only); others need --token or --no-token",
    )
    parser.add_argument("--port", default=8188, type=_port, help="default: 8188; 0: any that is free")
    for name, what in (("input", "uploaded pictures"), ("output", "results")):
        option, default = f"--{name}", Path(name)
        parser.add_argument(
            option,
            dest=name,
            type=path_argument,
            default=default,
            metavar="DIR",
            help=f"{what} (default: {name})",
        )
    parser.add_argument(
        "--user-dir",
        type=path_argument,
        default=Path("user"),
        metavar="DIR",
        help="the queue, the history, settings and saved workflows (default: user)",
    )
    add_models_dir_argument(parser)
    parser.add_argument("--no-frontend", action="store_true", help="serve the API without the editor")
    _add_access(parser)
    add_memory_arguments(parser.add_argument_group("memory"))
    add_nodes_argument(parser)
    add_cluster_arguments(parser)
    add_cache_arguments(parser)
    return parser


def _add_access(parser: CommandParser) -> None:
    access = parser.add_argument_group("who is answered")
    access.add_argument("--token", type=text_argument, help="answer only those who send this token")
    access.add_argument("--no-token", action="store_true", help="answer everybody, also from other machines")
    access.add_argument(
        "--allow-host",
        action="append",
        default=[],
        type=text_argument,
        metavar="NAME",
        help="answer under this name too, such as that of a proxy; may be repeated",
    )
    access.add_argument(
        "--allow-downloads",
        action="store_true",
        help="let prompts download any model repository, not only schnell, dev, krea-dev and dev-redux",
    )


def _serve(parsed: Namespace) -> int:
    from run_graph.runtime.files.places import example_folder
    from run_graph.runtime.server.database import FolderInUseError
    from run_graph.runtime.server.settings import ServerSettings
    from run_graph.runtime.server.start import CannotListenError, serve

    machines = ClusterOptions(parsed.cluster, parsed.workers, parsed.any_device)
    settings = ServerSettings(
        listen=parsed.listen,
        port=parsed.port,
        input=parsed.input.expanduser(),
        output=parsed.output.expanduser(),
        user=parsed.user_dir.expanduser(),
        models=tuple(folder.expanduser() for folder in parsed.models_dirs),
        frontend=not parsed.no_frontend,
        token=parsed.token,
        allowed_hosts=tuple(parsed.allow_host),
        allow_downloads=parsed.allow_downloads,
        memory_limit=parsed.memory_limit,
        low_ram=parsed.low_ram,
        cache_dir=parsed.cache_dir,
        no_cache=parsed.no_cache,
    )
    try:
        with (
            searching(settings.models),
            chosen_executor(machines, parsed.memory_limit, parsed.low_ram) as executor,
        ):
            serve(settings, _registry(parsed.node_files), example_folder(), executor)
    except (CannotListenError, FolderInUseError, WorkflowError, ClusterError) as error:
        print_message(str(error))
        return BAD_INPUT
    except sqlite3.Error as error:
        print_message(
            f"the queue in {settings.user} cannot be used: {error}; free some space, or choose another "
            "--user-dir"
        )
        return BAD_INPUT
    except OSError as error:
        print_message(f"a folder cannot be used: {error}; choose another")
        return BAD_INPUT
    return DONE


def _registry(node_files: Sequence[str]) -> Registry:
    registry = installed_nodes()
    if node_files:
        from run_graph.graph.node_files import with_node_files

        registry = with_node_files(registry, node_files)
    for problem in registry.problems:
        warn(problem)
    return registry


def _is_loopback(address: str) -> bool:
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**16):
        raise ArgumentTypeError(f"{text!r} is not a port, 0 to 65535")
    return int(text)
