"""A server's HTTP interface: what a run needs of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

import httpx

from run_graph.runtime.remote.address import Address
from run_graph.runtime.remote.errors import ServerError, ServerGone
from run_graph.runtime.remote.url import TOKEN_VARIABLE

_TIMEOUT = httpx.Timeout(120, connect=10)  # seconds; an upload is flushed to the disk before the answer


class Refusal(Exception):
    """The server does not accept a prompt; ``document`` is its answer, ComfyUI's error JSON."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        super().__init__()
        self.document = document


class ServerApi:
    """Requests to one server. Each raises ServerError if it is not answered as it should be.

    Parameters
    ----------
    address : Address
    """

    def __init__(self, address: Address) -> None:
        self.address = address
        headers = {"Authorization": f"Bearer {address.token}"} if address.token else {}
        self._http = httpx.Client(
            base_url=address.url, headers=headers, timeout=_TIMEOUT, trust_env=False, follow_redirects=False
        )

    def __enter__(self) -> ServerApi:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def check(self) -> None:
        """Find out whether there is a server at all."""
        found = _parsed(self._answer("GET", "/system_stats"))
        if not isinstance(found.get("system"), dict):
            raise self._foreign()

    def has_upload(self, name: str, nbytes: int) -> bool:
        """Whether there is an upload of this name and size."""
        answer = self._answer("HEAD", "/view", params={"filename": name, "type": "input"})
        return answer.status_code == 200 and answer.headers.get("content-length") == str(nbytes)

    def upload(self, name: str, content: bytes) -> str:
        """Upload a file; returns the name that it has on the server."""
        answer = self._good("POST", "/upload/image", files={"image": (name, content)})
        stored = _parsed(answer).get("name")
        if not isinstance(stored, str):
            raise self._foreign()
        return stored

    def queue(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        """Send a prompt; returns the answer. Raises Refusal if the prompt is wrong."""
        answer = self._answer("POST", "/prompt", json=document)
        found = _parsed(answer)
        if answer.status_code == 400 and "error" in found:
            raise Refusal(found)
        if answer.status_code != 200 or not isinstance(found.get("prompt_id"), str):
            raise self._refused(answer)
        return found

    def stop(self, prompt_ids: Iterable[str]) -> None:
        """Interrupt those of the prompts that run, and take the others out of the queue."""
        ids = list(prompt_ids)
        self._good("POST", "/queue", json={"delete": ids})
        for prompt_id in ids:
            self._good("POST", "/interrupt", json={"prompt_id": prompt_id})

    def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """How a prompt ended, as ComfyUI lists it; None if it has not ended."""
        entry = _parsed(self._good("GET", f"/history/{prompt_id}")).get(prompt_id)
        return entry if isinstance(entry, dict) else None

    def is_queued(self, prompt_id: str) -> bool:
        """Whether a prompt runs or waits."""
        found = _parsed(self._good("GET", "/queue"))
        listed = [*found.get("queue_running", []), *found.get("queue_pending", [])]
        return any(prompt_id in entry[:2] for entry in listed)

    def view(self, reference: Mapping[str, str]) -> bytes:
        """The content of a file that a prompt has written."""
        return self._good("GET", "/view", params=dict(reference)).content

    def _good(self, method: str, path: str, **options: Any) -> httpx.Response:
        answer = self._answer(method, path, **options)
        if answer.status_code != 200:
            raise self._refused(answer)
        return answer

    def _answer(self, method: str, path: str, **options: Any) -> httpx.Response:
        url = self.address.url
        try:
            answer = self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            reason = str(error) or type(error).__name__
            raise ServerGone(
                f"no server answers at {url} ({reason}); start one with run-graph serve, or correct --server"
            ) from None
        if answer.status_code == 401:
            wanted = "refuses this token" if self.address.token else "wants a token"
            raise ServerError(f"{url} {wanted}; give its own with --token or in {TOKEN_VARIABLE}")
        if answer.status_code == 403:
            raise self._refused(answer)
        return answer

    def _refused(self, answer: httpx.Response) -> ServerError:
        error = _parsed(answer).get("error")
        if not isinstance(error, dict):
            return self._foreign(f" (status {answer.status_code})")
        texts = [str(error.get(name) or "") for name in ("message", "details")]
        return ServerError(f"{self.address.url} refuses: {'; '.join(filter(None, texts))}")

    def _foreign(self, what: str = "") -> ServerError:
        return ServerError(f"{self.address.url} does not answer as run-graph serve or ComfyUI does{what}")


def _parsed(answer: httpx.Response) -> dict[str, Any]:
    """The object in an answer; empty if there is none."""
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
