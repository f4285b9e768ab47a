"""Starting a server, and ending it."""

from __future__ import annotations

import socket
from pathlib import Path

import uvicorn

from run_graph.graph.registry import Registry
from run_graph.runtime.cache import MemoryCache, ResultCache
from run_graph.runtime.cache.open import chosen_cache
from run_graph.runtime.cache.tiered import TieredCache
from run_graph.runtime.engine.executor import Executor
from run_graph.runtime.engine.protocol import ExecutorFactory
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.models.store import ModelStore
from run_graph.runtime.server.app import make_app
from run_graph.runtime.server.database import Database
from run_graph.runtime.server.folders import Folders
from run_graph.runtime.server.history import History
from run_graph.runtime.server.hub import Hub
from run_graph.runtime.server.queue import PromptQueue
from run_graph.runtime.server.routes.prompting import status
from run_graph.runtime.server.settings import ServerSettings
from run_graph.runtime.server.state import Log, ServerState, features
from run_graph.runtime.server.worker import Worker


class CannotListenError(Exception):
    """The address is taken, or is none of this machine's; the message says what to do."""


def serve(
    settings: ServerSettings, registry: Registry, examples: Path, executor: ExecutorFactory = Executor
) -> None:
    """Serve until a signal ends it.

    Parameters
    ----------
    settings : ServerSettings
    registry : Registry
    examples : Path
        The folder of the shipped workflows.
    executor : callable, optional
        What runs prompts (:mod:`runtime.engine.protocol`). Default: this process.

    Raises
    ------
    CannotListenError
        If the address cannot be used.
    FolderInUseError
        If another server uses the user's folder.
    OSError, sqlite3.Error
        If a folder or the queue cannot be used.
    """
    log = Log()
    listener = listening_socket(settings)
    folders = Folders.of(settings, examples)
    database = Database(folders.user, log)
    try:
        server = make_server(settings, registry, folders, database, log, executor)
        _, waiting = server.queue.listed()
        if waiting:
            log(f"{len(waiting)} prompts of an earlier start go on")
        log(f"serving at {_address(settings, listener)}")
        config = uvicorn.Config(
            make_app(server),
            log_level="warning",
            access_log=False,
            ws_ping_interval=None,  # some clients answer only while they read
            ws="websockets-sansio",
            timeout_graceful_shutdown=2,
            server_header=False,
        )
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        database.close()


def make_server(
    settings: ServerSettings,
    registry: Registry,
    folders: Folders,
    database: Database,
    log: Log,
    executor: ExecutorFactory = Executor,
) -> ServerState:
    """The parts of a server, not yet started."""
    queue = PromptQueue(database, log, settings.limits.pending, settings.limits.history)
    results = chosen_cache(settings.no_cache, settings.cache_dir, log)
    cache: ResultCache = results if settings.no_cache else TieredCache(MemoryCache(), results)
    services = Services(ModelStore(settings.memory_limit, settings.low_ram))
    session = Session(registry, cache, services, executor)
    hub = Hub(lambda: status(queue.remaining), features(settings), lambda client: worker.position(client))
    worker = Worker(queue, session, registry, folders, hub, log)
    return ServerState(settings, registry, folders, queue, History(database, queue.unsaved), hub, worker, log)


def listening_socket(settings: ServerSettings) -> socket.socket:
    """The socket that a server listens on. Raises CannotListenError."""
    family = socket.AF_INET6 if ":" in settings.listen else socket.AF_INET
    # asyncio switches Nagle's algorithm off only if the protocol is named; it costs 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.listen, settings.port))
        listener.listen(2048)
    except OSError as error:
        listener.close()
        place = f"{settings.listen} port {settings.port}"
        raise CannotListenError(
            f"cannot listen at {place}: {error.strerror or error}; choose another --port or --listen"
        ) from None
    return listener


def _address(settings: ServerSettings, listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"
