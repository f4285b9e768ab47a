"""A dask cluster of processes that a test may kill, and what must be true when a sweep on it is done."""

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from processes import command

from run_graph.runtime.cache.blob_store import SNAPSHOTS

FAULTS = ("worker", "scheduler", "client", "stall")
LIMIT = 300.0  # seconds for a sweep


class Machines:
    """A scheduler, two workers and, one after another, clients; each a process of its own.

    Parameters
    ----------
    project : Path
        The workflow file, beside its pictures.
    steps : int
        Sampling steps of each picture.
    """

    def __init__(self, project: Path, folder: Path, steps: int) -> None:
        self.project = project
        self.folder = folder
        self.steps = steps
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.workers: list[subprocess.Popen[bytes]] = []
        self.logs = open(folder / "log", "ab")  # noqa: SIM115
        self.scheduler = self.start_scheduler()
        for number in range(2):
            self.workers.append(self.start_worker(number))

    def close(self) -> None:
        """End all processes."""
        for process in (*self.workers, self.scheduler):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()
        self.logs.close()

    def start_scheduler(self) -> "subprocess.Popen[bytes]":
        """dask's own scheduler, at the same address each time."""
        arguments = ["--host", "127.0.0.1", "--port", str(self.port), "--dashboard-address", ":0"]
        script = "from distributed.cli.dask_scheduler import main; main()"
        return self._started([sys.executable, "-c", script, *arguments])

    def start_worker(self, number: int) -> "subprocess.Popen[bytes]":
        """A worker with a cache of its own."""
        cache = str(self.folder / f"worker-{number}")
        return self._started([*command(), "worker", self.address, "--cache-dir", cache])

    def sweep(self, pictures: int, folder: Path, *options: str) -> "subprocess.Popen[bytes]":
        """Start a client that makes so many pictures in a folder."""
        arguments = [str(self.project), "--sweep", f"sample.seed=1..{pictures}", "--quiet"]
        arguments += ["--set", f"sample.steps={self.steps}", "--set", "save.filename_prefix=p"]
        arguments += ["-o", str(folder / "output"), "--cache-dir", str(folder / "cache"), *options]
        return self._started([*command(), *arguments])

    def on_cluster(self, pictures: int, folder: Path) -> "subprocess.Popen[bytes]":
        """Start a client on this cluster."""
        return self.sweep(pictures, folder, "--cluster", self.address)

    def strike(
        self, fault: str, chance: random.Random, client: "subprocess.Popen[bytes]", stall: float
    ) -> None:
        """Let something happen, and let what was killed be started again a moment later, but for a client."""
        number = chance.randrange(2)
        if fault == "client":
            client.kill()
        elif fault == "scheduler":
            self.scheduler.kill()
            self.scheduler.wait()
            time.sleep(chance.uniform(0, 2))
            self.scheduler = self.start_scheduler()
        elif fault == "worker":
            self.workers[number].kill()
            self.workers[number].wait()
            time.sleep(chance.uniform(0, 2))
            self.workers[number] = self.start_worker(number)
        else:
            self.workers[number].send_signal(signal.SIGSTOP)
            threading.Timer(stall, self.workers[number].send_signal, [signal.SIGCONT]).start()

    def finish(self, client: "subprocess.Popen[bytes]", pictures: int, folder: Path) -> None:
        """Wait for the sweep; if its client was killed, start the same command again."""
        code = client.wait(LIMIT)
        if code == -signal.SIGKILL:
            code = self.on_cluster(pictures, folder).wait(LIMIT)
        assert code == 0, (folder.parent / "log").read_text(errors="replace")[-3000:]

    def _started(self, arguments: list[str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            arguments, stdout=self.logs, stderr=self.logs, stdin=subprocess.DEVNULL, start_new_session=True
        )


@contextmanager
def machines(project: Path, folder: Path, steps: int) -> Iterator[Machines]:
    """Machines for as long as the context lasts."""
    running = Machines(project, folder, steps)
    try:
        yield running
    finally:
        running.close()


def pixels(folder: Path) -> dict[str, bytes]:
    """The pixels of each picture in a folder, by its name; opens each, so none is half-written."""
    found = {}
    for path in sorted((folder / "output").glob("*.png")):
        with Image.open(path) as picture:
            found[path.name] = picture.convert("RGB").tobytes()
    return found


def debris(folder: Path) -> list[str]:
    """Files that a finished sweep must not leave: temporary ones, and resume states."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and (path.name.endswith(".tmp") or path.parent.name == SNAPSHOTS)
    ]


def trials_wanted() -> int:
    """How many random trials the environment asks for."""
    return int(os.environ.get("RUN_GRAPH_CLUSTER_TRIALS", "0"))
