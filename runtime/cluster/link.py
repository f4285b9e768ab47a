"""The client's connection to a dask cluster, on a thread of its own.

It finds the workers, gives them tasks, asks them for reports and notices when one is gone. What it learns is
put into a queue as :data:`runtime.cluster.news.News`, which the executor's thread takes. If the scheduler is
lost, the link tries to reach it again for a while; all workers count as lost until then.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

from distributed import Client

from run_graph.runtime.cluster.compatible import other_device, refusal
from run_graph.runtime.cluster.errors import ClusterError
from run_graph.runtime.cluster.loop_thread import LoopThread
from run_graph.runtime.cluster.messages import Finished, Report, WorkerFacts
from run_graph.runtime.cluster.news import Broken, Done, Joined, Lost, News, Refused, Reported
from run_graph.runtime.cluster.wire import Parcel, unpack
from run_graph.runtime.cluster.worker_session import next_reports, run_task, stop_run, worker_facts

CONNECT = 10.0  # seconds to reach the scheduler at the start
WATCH = 0.5  # seconds between two looks at the list of workers
REPORTS = 2.0  # seconds for which a worker is asked to wait for something to report
STOPPING = 2.0  # seconds for the workers to hear that the run is over


@dataclass
class _Worker:
    """A worker as the link knows it."""

    facts: WorkerFacts | None = None
    heard: float = field(default_factory=time.monotonic)
    known: int = 0  # the highest number of its reports
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    poll: asyncio.Task[None] | None = None
    greeting: asyncio.Task[None] | None = None


class Link:
    """A connection for one run.

    Parameters
    ----------
    address : str
        The scheduler's, such as ``tcp://192.168.1.5:8786``.
    run : str
        The run's name.
    own : mapping
        This machine's :func:`runtime.cache.environment.environment_facts`.
    any_device : bool
        Whether workers with another device or number format are used.
    patience : float
        Seconds for which a scheduler that was lost is waited for.
    stall : float
        Seconds without an answer after which a worker counts as lost.

    Raises
    ------
    ClusterError
        By `open`, if the scheduler cannot be reached.
    """

    def __init__(
        self,
        address: str,
        run: str,
        own: Mapping[str, Any],
        any_device: bool = False,
        patience: float = 60.0,
        stall: float = 60.0,
    ) -> None:
        self.address = address
        self.run = run
        self.news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._own = own
        self._any_device = any_device
        self._patience = patience
        self._stall = stall
        self._client: Client | None = None
        self._workers: dict[str, _Worker] = {}
        self._loop = LoopThread("cluster")
        self._watch: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Connect. Raises ClusterError."""
        self._loop.start()
        self._loop.call(self._open())

    def submit(self, worker: str, task: str, parcel: Parcel) -> None:
        """Give a worker a task; its end is told as :class:`runtime.cluster.news.Done`."""
        self._loop.soon(self._begin, worker, task, parcel)

    def close(self) -> None:
        """End all tasks of the run, wherever they are, and disconnect."""
        with contextlib.suppress(CancelledError, TimeoutError, OSError):
            self._loop.call(self._close())
        self._loop.close()

    def stop(self) -> None:
        """Tell all workers to stop the run's tasks within a step, and wait until they know."""
        with contextlib.suppress(CancelledError, TimeoutError, OSError):
            self._loop.call(self._stop())

    async def _open(self) -> None:
        try:
            self._client = await self._connected(CONNECT)
        except (OSError, TimeoutError) as error:
            raise ClusterError(
                f"no dask scheduler answers at {self.address} ({_reason(error)}); start one with "
                "`dask scheduler`, or correct the address"
            ) from None
        except ValueError as error:  # an address of no known kind
            raise ClusterError(
                f"{self.address!r} is not the address of a scheduler ({error}); write tcp://HOST:8786"
            ) from None
        self._watch = asyncio.create_task(self._watch_over())

    async def _connected(self, seconds: float) -> Client:
        return await Client(
            self.address, asynchronous=True, timeout=seconds, set_as_default=False, name="run-graph"
        )

    async def _watch_over(self) -> None:
        """Follow the list of workers; begin again when the scheduler is lost."""
        while True:
            try:
                await self._look()
                await asyncio.sleep(WATCH)
            except (OSError, TimeoutError, CancelledError, RuntimeError, AttributeError):
                if not await self._reconnected():
                    return

    async def _look(self) -> None:
        client = self._client
        if client is None or client.status != "running":
            raise OSError("the scheduler is gone")
        listed = await asyncio.wait_for(client.nthreads(), self._stall)
        for worker in set(self._workers) - set(listed):
            self._lose(worker, "it has left the cluster")
        for worker in set(listed) - set(self._workers):
            self._workers[worker] = _Worker()
            self._workers[worker].greeting = asyncio.create_task(self._get_to_know(worker))
        for worker, known in list(self._workers.items()):
            if known.tasks and time.monotonic() - known.heard > self._stall:
                self._lose(worker, f"it has not answered for {self._stall:.0f} s")

    async def _reconnected(self) -> bool:
        """Whether the scheduler could be reached again."""
        for worker in list(self._workers):
            self._lose(worker, "the scheduler is gone")
        self.news.put(Broken(None))
        await self._drop_client()
        end = time.monotonic() + self._patience
        while time.monotonic() < end:
            try:
                self._client = await self._connected(max(0.1, min(CONNECT, end - time.monotonic())))
                return True
            except (OSError, TimeoutError):
                await asyncio.sleep(0.2)
        self.news.put(Broken(ClusterError(f"the scheduler at {self.address} was lost and has not come back")))
        return False

    async def _get_to_know(self, worker: str) -> None:
        """Ask a new worker what it is, until it answers or is gone."""
        while (known := self._workers.get(worker)) is not None and (client := self._client) is not None:
            try:
                answers = await client.run(worker_facts, workers=[worker])
            except OSError:  # it does not answer, or is gone
                await asyncio.sleep(WATCH)
                continue
            except Exception as error:
                self.news.put(Refused(worker, _cannot_answer(error)))
                return
            facts: WorkerFacts = answers[worker]
            why = refusal(self._own, facts, any_device=self._any_device)
            if why is not None:
                self.news.put(Refused(worker, why))
                return
            known.facts, known.heard = facts, time.monotonic()
            self.news.put(Joined(worker, facts, other_device(self._own, facts)))
            return

    def _lose(self, worker: str, why: str) -> None:
        known = self._workers.pop(worker)
        for task in [*known.tasks.values(), known.poll, known.greeting]:
            if task is not None:
                task.cancel()
        if known.facts is not None:
            self.news.put(Lost(worker, why))

    def _begin(self, worker: str, task: str, parcel: Parcel) -> None:
        known, client = self._workers.get(worker), self._client
        if known is None or known.facts is None or client is None:
            self.news.put(Done(worker, task, None, "the worker has left"))
            return
        known.heard = time.monotonic()
        known.tasks[task] = asyncio.create_task(self._run_task(client, worker, task, parcel))
        if known.poll is None:
            known.poll = asyncio.create_task(self._poll(client, worker, known))

    async def _run_task(self, client: Client, worker: str, task: str, parcel: Parcel) -> None:
        finished: Finished | None = None
        why = ""
        future = client.submit(run_task, parcel, workers=[worker], key=f"run-graph-{task}", pure=False)
        try:
            finished = unpack(await future)
        except Exception as error:  # dask lost it, such as with the scheduler
            why = f"{type(error).__name__}: {_reason(error)}"
        finally:
            future.release()
        if (known := self._workers.get(worker)) is not None:
            known.tasks.pop(task, None)
            known.heard = time.monotonic()
        self.news.put(Done(worker, task, finished, why))

    async def _poll(self, client: Client, worker: str, known: _Worker) -> None:
        """Ask a worker for reports as long as it has tasks."""
        while known.tasks:
            try:
                answers = await client.run(next_reports, self.run, known.known, REPORTS, workers=[worker])
            except Exception:  # it is busy, stopped or gone: the list of workers will tell
                await asyncio.sleep(WATCH)
                continue
            reports: list[Report] = unpack(answers[worker])
            known.heard = time.monotonic()
            if reports:
                known.known = reports[-1].number
                self.news.put(Reported(worker, tuple(reports)))
            await asyncio.sleep(max(0.05, len(self._workers) / 100))  # 100 questions a second for all
        known.poll = None

    async def _stop(self) -> None:
        client = self._client
        workers = [name for name, known in self._workers.items() if known.facts is not None]
        if client is not None and workers:
            await asyncio.wait_for(
                client.run(stop_run, self.run, workers=workers, on_error="ignore"), STOPPING
            )

    async def _close(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for worker in list(self._workers):
            self._lose(worker, "the run is over")
        await self._drop_client()

    async def _drop_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(OSError, TimeoutError, CancelledError):
                await asyncio.wait_for(client.close(), STOPPING)


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if text else type(error).__name__


def _cannot_answer(error: Exception) -> str:
    if isinstance(error, ImportError):
        return f"run-graph cannot be imported there ({error}); install the same version on all machines"
    return f"it cannot say what it is ({type(error).__name__}: {_reason(error)})"
