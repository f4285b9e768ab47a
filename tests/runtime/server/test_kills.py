"""A server that is killed at any moment loses no prompt, runs none twice, and makes the same pictures.

``RUN_GRAPH_KILLS=50`` kills it so often, under 20 prompts; here a few times under a few.
"""

import io
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from server_process import Server, slow

KILLS = int(os.environ.get("RUN_GRAPH_KILLS", "2"))
PROMPTS = 20 if KILLS > 10 else 3
STEPS = 60


def prompt(index: int) -> dict[str, Any]:
    return slow(STEPS, seed=1000 + index, prefix=f"kill_{index}")


def pictures(server: Server, ids: list[str]) -> list[npt.NDArray[Any]]:
    history = server.get("/history").json()
    shown = [history[each]["outputs"]["9"]["images"][0] for each in ids]
    contents = [server.get("/view", params=each).content for each in shown]
    return [np.asarray(Image.open(io.BytesIO(content))) for content in contents]


def test_kills_lose_nothing_and_change_nothing(server: Server, tmp_path: Path) -> None:
    undisturbed = [server.queue(prompt(index)) for index in range(PROMPTS)]
    server.result(undisturbed[-1], 300)
    expected = pictures(server, undisturbed)

    chance = random.Random(7)
    killed = Server(tmp_path).start()
    try:
        ids = [killed.queue(prompt(index)) for index in range(PROMPTS)]
        for _ in range(KILLS):
            time.sleep(chance.uniform(0, 0.6))
            before = killed.get("/queue").json()
            finished = list(killed.get("/history").json())
            killed.kill()
            killed.start()
            after = killed.get("/queue").json()
            left = [item[1] for item in before["queue_running"] + before["queue_pending"]]
            still = [item[1] for item in after["queue_running"] + after["queue_pending"]]
            assert still == left[len(left) - len(still) :], "in the same order"
            assert list(killed.get("/history").json())[: len(finished)] == finished
        killed.result(ids[-1], 300)
        assert list(killed.get("/history").json()) == ids
        for mine, theirs in zip(pictures(killed, ids), expected, strict=True):
            assert (mine == theirs).all()
        saved = sorted(path.name for path in (killed.folder / "output").glob("kill_*.png"))
        assert saved == sorted(f"kill_{index}_00001_.png" for index in range(PROMPTS)), "none twice"
    finally:
        killed.kill()


def test_what_runs_goes_on_after_a_kill_and_a_stop_and_its_client_hears_the_rest(tmp_path: Path) -> None:
    server = Server(tmp_path).start()
    try:
        with server.listening("patient") as listener:
            prompt_id = server.queue(slow(240, seed=5), client_id="patient")
            listener.until(lambda m: m["type"] == "progress" and m["data"]["value"] >= 60)
        server.kill()
        server.start()
        with server.listening("patient") as listener:
            heard = listener.until(lambda m: m["type"] == "progress" and m["data"]["value"] >= 120)
            assert next(m["data"]["value"] for m in heard if m["type"] == "progress") > 30, "it resumed"
        assert server.stop(signal.SIGTERM) == 143
        assert "Traceback" not in server.log
        server.start()
        assert server.get("/history").json() == {}
        with server.listening("patient") as listener:
            heard = listener.until_done(prompt_id)
            steps = [m["data"]["value"] for m in heard if m["type"] == "progress"]
            assert steps[0] > 90, "it resumed"
            assert steps[-1] == 240
            assert "execution_success" in listener.kinds(prompt_id)
    finally:
        server.kill()
