"""Many clients at once that queue, interrupt, delete and reconnect, while files of the cache are damaged.

No prompt is lost or run twice, equal prompts give equal pictures, and memory, open files and the latency of
the event loop stay in bounds. ``RUN_GRAPH_ENDURANCE=600`` lets 20 clients go on for so many seconds; here a
few clients for a few.
"""

import io
import os
import random
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image
from server_process import Listener, Server, is_end, slow, waited
from websockets.sync.client import connect

SECONDS = float(os.environ.get("RUN_GRAPH_ENDURANCE", "4"))
FULL = SECONDS >= 60
CLIENTS = 20 if FULL else 4
SEEDS = 400 if FULL else 8  # so few that prompts repeat
LATENCY = 0.1  # seconds, of which 99 % of the answers must stay below
MORE_MEMORY = 64 * 1024  # KiB; results that are kept in memory are part of it
MORE_HANDLES = 10
PATIENCE = 300.0  # seconds for what waits before a prompt


@dataclass
class Trial:
    """What all clients share."""

    server: Server
    until: float
    counts: Counter[str] = field(default_factory=Counter)
    pictures: dict[int, bytes] = field(default_factory=dict)
    completed: set[str] = field(default_factory=set)

    @property
    def goes_on(self) -> bool:
        return time.monotonic() < self.until


class Client:
    """Queues prompts, treats them badly, and looks after every one."""

    def __init__(self, trial: Trial, number: int) -> None:
        self.trial, self.server = trial, trial.server
        self.name, self.draw = f"client_{number}", random.Random(number)
        self.interrupted: set[str] = set()
        self.seeds: dict[str, int] = {}

    def work(self) -> None:
        while self.trial.goes_on:
            with self.server.listening(self.name) as listener:
                ids = [self.send() for _ in range(self.draw.randint(1, 4))]
                ids = [each for each in ids if not self.disturb(each, listener)]
                reconnects = self.draw.random() < 0.3
                if not reconnects and ids:
                    self.hear(ids[-1], listener)
            if reconnects:
                self.trial.counts["reconnected"] += 1
                with self.server.listening(self.name) as listener:
                    if ids and self.server.get(f"/history/{ids[-1]}").json() == {}:
                        self.hear(ids[-1], listener)
            for each in ids:
                self.look_up(each)

    def send(self) -> str:
        seed = self.draw.randrange(SEEDS)
        prompt_id = str(uuid.uuid4())
        graph = slow(5 + seed % 40, seed=seed, prefix=prompt_id)
        self.seeds[prompt_id] = seed
        self.trial.counts["accepted"] += 1
        return self.server.queue(graph, client_id=self.name, prompt_id=prompt_id)

    def disturb(self, prompt_id: str, listener: Listener) -> bool:
        """Sometimes interrupt or delete a prompt; returns whether it is gone from the queue unrun."""
        kind = self.draw.choices(["interrupt", "delete", "leave"], [2, 1, 4])[0]
        if kind == "interrupt":
            self.interrupted.add(prompt_id)
            if self.draw.random() < 0.5:
                listener.until(lambda m: _is_step(m, prompt_id) or is_end(m, prompt_id), PATIENCE)
            assert self.server.post("/interrupt", {"prompt_id": prompt_id}).status_code == 200
        elif kind == "delete":
            assert self.server.post("/queue", {"delete": [prompt_id]}).status_code == 200
            queue = self.server.get("/queue").json()
            listed = [item[1] for item in queue["queue_running"] + queue["queue_pending"]]
            if prompt_id not in listed and self.server.get(f"/history/{prompt_id}").json() == {}:
                self.trial.counts["deleted"] += 1
                return True
        return False

    def hear(self, prompt_id: str, listener: Listener) -> None:
        if not any(is_end(message, prompt_id) for message in listener.heard if message["type"] != "binary"):
            listener.until_done(prompt_id, PATIENCE)
        self.trial.counts["heard to the end"] += 1

    def look_up(self, prompt_id: str) -> None:
        """A prompt that was accepted is in the history, with its picture if nobody interrupted it."""
        entry = self.server.result(prompt_id, PATIENCE)
        last = entry["status"]["messages"][-1][0]
        if last == "execution_interrupted":
            assert prompt_id in self.interrupted
            self.trial.counts["interrupted"] += 1
            return
        assert last == "execution_success", entry["status"]
        self.trial.counts["completed"] += 1
        self.trial.completed.add(prompt_id)
        [shown] = entry["outputs"]["9"]["images"]
        picture = Image.open(io.BytesIO(self.server.get("/view", params=shown).content))
        pixels = np.asarray(picture).tobytes()
        assert self.trial.pictures.setdefault(self.seeds[prompt_id], pixels) == pixels


def _is_step(message: dict[str, object], prompt_id: str) -> bool:
    data = message["data"]
    return message["type"] == "progress" and isinstance(data, dict) and data["prompt_id"] == prompt_id


class Watch:
    """Measures a server until the trial has ended."""

    def __init__(self, trial: Trial) -> None:
        self.latencies: list[float] = []  # seconds
        self.memory: list[int] = []  # KiB
        self.handles: list[int] = []
        self._trial = trial

    def latency(self) -> None:
        """A ping is answered by the event loop itself."""
        server = self._trial.server
        address = str(server.http.base_url).replace("http", "ws", 1).rstrip("/")
        with connect(f"{address}/ws?clientId=watch", max_queue=None, proxy=None) as socket:
            while self._trial.goes_on:
                began = time.monotonic()
                assert socket.ping().wait(60), "the event loop does not answer"
                self.latencies.append(time.monotonic() - began)
                time.sleep(0.05)

    def growth(self) -> None:
        process = self._trial.server.process
        assert process is not None
        while self._trial.goes_on:
            told = subprocess.run(
                ["ps", "-o", "rss=", "-p", str(process.pid)], capture_output=True, text=True
            )
            self.memory.append(int(told.stdout))
            self.handles.append(_handles(process.pid))
            time.sleep(SECONDS / 100)


def _handles(pid: int) -> int:
    """Open files of a process; 0 where there is no /proc."""
    folder = Path(f"/proc/{pid}/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def damage(folder: Path, trial: Trial) -> None:
    """Now and then cut off, change or remove a file of the cache."""
    draw = random.Random(0)
    while trial.goes_on:
        time.sleep(draw.uniform(0, 0.4))
        paths = sorted(path for path in folder.glob("**/*") if path.is_file())
        with suppress(FileNotFoundError):  # evicted meanwhile
            if paths and (data := bytearray((path := draw.choice(paths)).read_bytes())):
                kind = draw.choice(["cut", "bit", "gone"])
                if kind == "cut":
                    os.truncate(path, draw.randrange(len(data)))
                elif kind == "bit":
                    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
                    path.write_bytes(data)
                else:
                    path.unlink()
                trial.counts["files damaged"] += 1


def test_many_clients_lose_nothing_and_nothing_grows(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        trial = Trial(server, time.monotonic() + SECONDS)
        watch = Watch(trial)
        clients: list[Callable[[], None]] = [Client(trial, number).work for number in range(CLIENTS)]
        watchers = [watch.latency, watch.growth, lambda: damage(server.folder / "results", trial)]
        with ThreadPoolExecutor(CLIENTS + len(watchers)) as pool:
            for done in [pool.submit(each) for each in (*clients, *watchers)]:
                done.result()
        waited(lambda: server.get("/prompt").json()["exec_info"]["queue_remaining"] == 0, PATIENCE)
        history = server.get("/history", params={"max_items": 100_000}).json()
        saved = sorted(path.name for path in (server.folder / "output").glob("*.png"))
        log = server.log
    slowest = float(np.quantile(watch.latencies, 0.99))
    print(dict(trial.counts), f"p99 {slowest * 1000:.1f} ms, {max(watch.latencies) * 1000:.0f} ms at most")
    print(f"memory in KiB {watch.memory[::10]}, handles {watch.handles[::10]}")
    counts = trial.counts
    assert (
        len(history) == counts["completed"] + counts["interrupted"] == counts["accepted"] - counts["deleted"]
    )
    assert trial.completed <= {name.removesuffix("_00001_.png") for name in saved}, "none lost"
    assert not [name for name in saved if not name.endswith("_00001_.png")], "none twice"
    assert "Traceback" not in log
    assert max(later(watch.handles)) <= max(earlier(watch.handles)) + MORE_HANDLES
    if FULL:
        assert slowest < LATENCY
        assert max(later(watch.memory)) <= max(earlier(watch.memory)) + MORE_MEMORY


def earlier(samples: list[int]) -> list[int]:
    """When all has been used once: the second quarter."""
    return samples[len(samples) // 4 : len(samples) // 2]


def later(samples: list[int]) -> list[int]:
    return samples[3 * len(samples) // 4 :]
