"""A cluster on this machine: a scheduler in this process, and worker processes beside it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from distributed import Scheduler

from run_graph.runtime.cluster.errors import ClusterError
from run_graph.runtime.cluster.loop_thread import LoopThread
from run_graph.runtime.cluster.worker import WorkerSettings
from run_graph.runtime.device import memory_budget

RESTARTS = 3  # of each worker; one that dies more often would only die again
_LOOK = 0.5  # seconds between two looks at whether all processes live
_END = 5.0  # seconds for a worker to end by itself


class LocalCluster:
    """A scheduler on a thread of this process, and ``workers`` processes; a context manager.

    A process that dies is started again, a few times. All end with this process, however it ends.

    Parameters
    ----------
    workers : int
    memory_limit : int or None
        Bytes for the weights of all workers together; None for what the machine can spare.
    low_ram : bool
        Whether each holds one model at a time.

    Attributes
    ----------
    address : str
        The scheduler's, once it is entered.
    """

    def __init__(self, workers: int, memory_limit: int | None = None, low_ram: bool = False) -> None:
        limit = (memory_budget() if memory_limit is None else memory_limit) // workers
        self.address = ""
        self._limit = limit
        self._low_ram = low_ram
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * workers
        self._starts = [0] * workers
        self._loop = LoopThread("scheduler")
        self._scheduler: Scheduler | None = None
        self._care: asyncio.Task[None] | None = None

    def __enter__(self) -> Self:
        self._loop.start()
        self._loop.call(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(TimeoutError, OSError):
            self._loop.call(self._stop(), _END)
        for process in self._processes:
            if process is not None:
                _end(process)
        self._loop.close()

    @property
    def pids(self) -> list[int]:
        """The worker processes' ids."""
        return [process.pid for process in self._processes if process is not None]

    async def _start(self) -> None:
        try:
            self._scheduler = await Scheduler(
                host="127.0.0.1", port=0, dashboard=False, dashboard_address=":0"
            )
        except OSError as error:
            raise ClusterError(f"no scheduler can be started on this machine: {error}") from None
        self.address = str(self._scheduler.address)
        self._start_workers()
        self._care = asyncio.create_task(self._take_care())

    async def _take_care(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            self._start_workers()

    def _start_workers(self) -> None:
        """Start those that are not running."""
        for number, process in enumerate(self._processes):
            if (process is None or process.poll() is not None) and self._starts[number] <= RESTARTS:
                self._starts[number] += 1
                self._processes[number] = self._started(number)

    def _started(self, number: int) -> subprocess.Popen[bytes]:
        settings = WorkerSettings(
            self.address, self._limit, self._low_ram, f"{number + 1}-{self._starts[number]}"
        )
        return subprocess.Popen(
            [sys.executable, "-m", "run_graph.runtime.cluster.worker", json.dumps(asdict(settings))],
            stdin=subprocess.PIPE,  # closed when this process ends: the worker then ends too
            stdout=subprocess.DEVNULL,
            # What this process can import, such as a module beside its script, the worker can.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # so that Ctrl-C in a terminal reaches this process alone
        )

    async def _stop(self) -> None:
        if self._care is not None:
            self._care.cancel()
        for process in self._processes:
            if process is not None and process.stdin is not None:
                process.stdin.close()
        if self._scheduler is not None:
            await self._scheduler.close()


def _end(process: subprocess.Popen[Any]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        process.wait(_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
