"""A worker process: a dask worker around one session, which joins its scheduler again when that is lost.

``python -m run_graph.runtime.cluster.worker JSON`` is how :mod:`runtime.cluster.local` starts one.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed import Worker
from distributed.diagnostics.plugin import WorkerPlugin

from run_graph.runtime.cache import ResultCache
from run_graph.runtime.cluster.start import silence_dask
from run_graph.runtime.cluster.worker_session import WorkerSession, use
from run_graph.runtime.models.store import ModelStore

_AGAIN = 1.0  # seconds between two attempts to join


@dataclass(frozen=True)
class WorkerSettings:
    """How a worker runs.

    Attributes
    ----------
    scheduler : str
        Its address, such as ``tcp://192.168.1.5:8786``.
    memory_limit : int or None
        Budget for weights in bytes; None for what the machine can spare.
    low_ram : bool
    name : str or None
        What dask calls it. Default: its address.
    """

    scheduler: str
    memory_limit: int | None = None
    low_ram: bool = False
    name: str | None = None


class _StopsSteps(WorkerPlugin):  # type: ignore[misc]  # has no types
    """Stops the running node when the worker closes, within a step."""

    def __init__(self, session: WorkerSession) -> None:
        self._session = session

    def teardown(self, worker: Any) -> None:
        self._session.stop()


async def work(
    settings: WorkerSettings,
    cache: ResultCache | None,
    say: Callable[[str], None],
    ended: asyncio.Event,
) -> None:
    """Work for a scheduler until ``ended`` is set; if the scheduler is lost, wait for it and join again.

    Parameters
    ----------
    settings : WorkerSettings
    cache : ResultCache or None
        Where results are kept on this machine.
    say : callable
        Gets a line for the user.
    ended : asyncio.Event
    """
    session = WorkerSession(ModelStore(settings.memory_limit, settings.low_ram), cache)
    use(session)
    with tempfile.TemporaryDirectory(prefix="run-graph-worker-", ignore_cleanup_errors=True) as folder:
        say(f"waiting for a scheduler at {settings.scheduler}")
        while not ended.is_set():
            worker = Worker(
                settings.scheduler,
                nthreads=1,
                name=settings.name,
                memory_limit=0,  # weights are budgeted by the model store
                local_directory=folder,
                dashboard=False,
            )
            await _join_and_work(worker, session, settings.scheduler, say, ended)


async def _join_and_work(
    worker: Any, session: WorkerSession, scheduler: str, say: Callable[[str], None], ended: asyncio.Event
) -> None:
    end = asyncio.create_task(ended.wait())
    join = asyncio.create_task(_joined(worker, session))
    await asyncio.wait({end, join}, return_when=asyncio.FIRST_COMPLETED)
    if join.done() and join.exception() is None and not ended.is_set():
        say(f"works for {scheduler}")
        gone = asyncio.create_task(worker.finished())
        await asyncio.wait({end, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not ended.is_set():
            say(f"lost {scheduler}; waiting for it to come back")
    elif not ended.is_set():
        await asyncio.sleep(_AGAIN)
    join.cancel()
    session.stop()
    await worker.close(timeout=2, executor_wait=False)
    end.cancel()


async def _joined(worker: Any, session: WorkerSession) -> None:
    await worker
    await worker.plugin_add(plugin=_StopsSteps(session), name="run-graph")


async def _until_parent_ends(settings: WorkerSettings) -> None:
    """Work until standard input is closed, as it is when the process that started this one has ended."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def wait() -> None:
        sys.stdin.buffer.read()
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait, daemon=True).start()
    await work(settings, None, lambda line: None, ended)


def main() -> None:
    """Run a worker with the settings in the command line's JSON, for as long as its parent lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which tells this process
    silence_dask()
    asyncio.run(_until_parent_ends(WorkerSettings(**json.loads(sys.argv[1]))))
    os._exit(0)  # not after a node that is still in the middle of its last step


if __name__ == "__main__":
    main()
