"""A server of its own process, and a client for it: HTTP by httpx, messages by websockets."""

import io
import json
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx
import pytest
from PIL import Image
from processes import command, heed_signals

pytest.importorskip("starlette", reason="the extra 'serve' is not installed")
from websockets.sync.client import connect

_START = 60.0  # seconds; a loaded machine imports slowly
_SAYS = "serving at "


class Server:
    """A server in a folder, whose queue and results outlive its process."""

    def __init__(self, folder: Path, *options: str, frontend: bool = False) -> None:
        self.folder = folder
        self.options = options if frontend else ("--no-frontend", *options)
        self.process: subprocess.Popen[str] | None = None
        self.http = httpx.Client()
        self.lines: list[str] = []

    def start(self) -> "Server":
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "log"
        with open(log, "w") as out:
            self.process = subprocess.Popen(
                [*command(), "serve", "--port", "0", *self.options],
                cwd=self.folder,
                stdout=out,
                stderr=out,
                env={**os.environ, "RUN_GRAPH_RESULTS": str(self.folder / "results")},
                preexec_fn=heed_signals,
            )
        self.http = httpx.Client(base_url=self._address(log), timeout=60, trust_env=False)
        return self

    def kill(self) -> None:
        """End the process as a power cut would."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.http.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End the process as a user would; returns its exit code."""
        assert self.process is not None
        self.http.close()
        self.process.send_signal(number)
        return self.process.wait(60)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def _address(self, log: Path) -> str:
        assert self.process is not None
        deadline = time.monotonic() + _START
        while time.monotonic() < deadline and self.process.poll() is None:
            if _SAYS in (text := log.read_text()):
                return text.partition(_SAYS)[2].split()[0]
            time.sleep(0.05)
        raise AssertionError(f"the server did not start: {log.read_text()}")

    def __enter__(self) -> "Server":
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def post(self, path: str, document: Any = None, **options: Any) -> httpx.Response:
        return (
            self.http.post(path, json=document, **options)
            if document is not None
            else self.http.post(path, **options)
        )

    def queue(self, graph: dict[str, Any], **more: Any) -> str:
        """Send a prompt that must be accepted; returns its id."""
        answer = self.post("/prompt", {"prompt": graph, **more})
        assert answer.status_code == 200, answer.text
        return str(answer.json()["prompt_id"])

    def result(self, prompt_id: str, seconds: float = 60) -> dict[str, Any]:
        """A prompt's history entry, when there is one."""
        found = waited(lambda: self.get(f"/history/{prompt_id}").json().get(prompt_id), seconds)
        return dict(found)

    def run(self, graph: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Send a prompt and wait for its end, which must be good."""
        entry = self.result(self.queue(graph, **more))
        assert entry["status"]["status_str"] == "success", entry["status"]
        return entry

    def upload(self, content: bytes, name: str, **fields: str) -> dict[str, str]:
        answer = self.http.post("/upload/image", files={"image": (name, content, "image/png")}, data=fields)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def picture(self, colour: tuple[int, int, int] = (200, 100, 0)) -> str:
        """The name of a new picture among the uploads."""
        return self.upload(png(colour=colour), f"{uuid.uuid4().hex}.png")["name"]

    @contextmanager
    def listening(self, client: str, flags: dict[str, Any] | None = None) -> Iterator["Listener"]:
        address = str(self.http.base_url).replace("http", "ws", 1).rstrip("/")
        with connect(f"{address}/ws?clientId={client}", max_size=None, proxy=None) as socket:
            if flags is not None:
                socket.send(json.dumps({"type": "feature_flags", "data": flags}))
            yield Listener(socket)


class Listener:
    """What one socket has heard, in order."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.heard: list[dict[str, Any]] = []

    def until(self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 60) -> list[dict[str, Any]]:
        """All messages up to the wanted one, which is the last. Pictures have the type ``binary``."""
        deadline = time.monotonic() + seconds
        while True:
            text = self._socket.recv(timeout=max(deadline - time.monotonic(), 0.01))
            message = {"type": "binary", "data": text} if isinstance(text, bytes) else json.loads(text)
            self.heard.append(message)
            if wanted(message):
                return self.heard

    def until_done(self, prompt_id: str, seconds: float = 60) -> list[dict[str, Any]]:
        """All messages up to the end of a prompt's run."""
        return self.until(lambda message: is_end(message, prompt_id), seconds)

    def kinds(self, prompt_id: str) -> list[str]:
        """The types of the messages about a prompt, without the states of its nodes."""
        return [
            message["type"]
            for message in self.heard
            if message["type"] not in ("binary", "progress_state")
            and message["data"].get("prompt_id") == prompt_id
        ]


def is_end(message: dict[str, Any], prompt_id: str) -> bool:
    data = message["data"]
    return message["type"] == "executing" and data.get("prompt_id") == prompt_id and data["node"] is None


def waited(ask: Callable[[], Any], seconds: float = 60) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.TransportError):
            if answer := ask():
                return answer
        time.sleep(0.02)
    raise AssertionError("it did not happen in time")


def png(
    size: tuple[int, int] = (32, 24), colour: tuple[int, ...] = (200, 100, 0), mode: str = "RGB"
) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def light(picture: str, prefix: str = "light", width: int = 64, preview: bool = False) -> dict[str, Any]:
    """Load, scale, invert and save a picture: no model."""
    scale = {
        "image": ["1", 0],
        "upscale_method": "bilinear",
        "width": width,
        "height": 48,
        "crop": "disabled",
    }
    save: dict[str, Any] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["3", 0], "filename_prefix": prefix},
    }
    if preview:
        save = {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}}
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": picture}},
        "2": {"class_type": "ImageScale", "inputs": scale},
        "3": {"class_type": "ImageInvert", "inputs": {"image": ["2", 0]}},
        "9": save,
    }


def slow(steps: int, seed: int = 0, size: int = 64, prefix: str = "slow") -> dict[str, Any]:
    """Sample a small picture with the built-in model in so many steps."""
    sample = {"flux": ["flux", 0], "conditioning": ["text", 0], "width": size, "height": size}
    return {
        "flux": {"class_type": "LoadFlux", "inputs": {"model": "tiny"}},
        "text": {"class_type": "TextEncode", "inputs": {"text_encoders": ["flux", 1], "prompt": "a fox"}},
        "sample": {"class_type": "FluxSample", "inputs": {**sample, "steps": steps, "seed": seed}},
        "decode": {"class_type": "DecodeLatent", "inputs": {"vae": ["flux", 2], "latent": ["sample", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": prefix}},
    }


def first_picture(server: Server, entry: dict[str, Any]) -> Image.Image:
    """The first picture of a run."""
    [shown, *_] = [image for output in entry["outputs"].values() for image in output["images"]]
    answer = server.get("/view", params=shown)
    assert answer.status_code == 200, answer.text
    return Image.open(io.BytesIO(answer.content))
