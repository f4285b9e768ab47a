"""A small local Hugging Face Hub that serves real HTTP to the real huggingface_hub.

It implements what a download needs: `/api/models/...` for the list of files and
`/ORG/NAME/resolve/...` for the files, with ETags, digests of large files, byte ranges, and error codes
(https://huggingface.co/docs/hub/api and the behaviour of huggingface_hub 1.33).
"""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = ".safetensors"

_API = re.compile(
    r"/api/models/(?P<repo>[^/]+/[^/]+)(?:/(?P<what>revision|tree)/(?P<revision>[^/]+)|/auth-check)?"
)
_FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)")


@dataclass
class Hub:
    """The files that the server serves, the faults that it simulates, and the requests it received.

    Attributes
    ----------
    files
        Contents by name, the same for every repository except those in `missing`.
    revisions
        The revisions that resolve to the only commit.
    cuts
        How many bytes of a large file each of the next connections sends before it breaks.
    requests
        Method, name or path, and byte range of each request.
    """

    files: dict[str, bytes]
    endpoint: str = ""
    revisions: set[str] = field(default_factory=lambda: {"main", COMMIT})
    gated: bool = False
    missing: set[str] = field(default_factory=set)
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def downloads(self) -> list[tuple[str, str | None]]:
        """The large files that were downloaded, with the requested byte ranges."""
        return [
            (name, span) for method, name, span in self.requests if method == "GET" and name.endswith(LARGE)
        ]


@contextmanager
def serving(folder: Path) -> Iterator[Hub]:
    """A Hub whose repositories all contain the files of `folder`."""
    names = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    hub = Hub({path.relative_to(folder).as_posix(): path.read_bytes() for path in names})

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def use(hub: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Point huggingface_hub to this server and to the test's own cache, without a token."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    template = hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


class _Handler(BaseHTTPRequestHandler):
    served: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        api, file = _API.fullmatch(path), _FILE.fullmatch(path)
        self.served.requests.append((self.command, file["name"] if file else path, self.headers["Range"]))
        found = api or file
        if found is None or found["repo"] in self.served.missing:
            self._refuse(404, "RepoNotFound")
        elif found["revision"] not in {None, *self.served.revisions}:
            self._refuse(404, "RevisionNotFound")
        elif path.endswith("/auth-check"):
            self._refuse(403, "GatedRepo") if self.served.gated else self._json({})
        elif api is not None:
            self._json(self._tree() if api["what"] == "tree" else self._info(api["repo"]))
        elif self.served.gated:
            self._refuse(403, "GatedRepo")
        else:
            self._file(found["name"])

    def _info(self, repo: str) -> Any:
        return {
            "id": repo,
            "sha": COMMIT,
            "siblings": [
                {"rfilename": name, "size": len(content), "blobId": _blob_id(content), **_lfs(name, content)}
                for name, content in self.served.files.items()
            ],
        }

    def _tree(self) -> Any:
        return [
            {
                "type": "file",
                "path": name,
                "size": len(content),
                "oid": _blob_id(content),
                **_lfs(name, content),
            }
            for name, content in self.served.files.items()
        ]

    def _file(self, name: str) -> None:
        content = self.served.files[name]
        start = self._start()
        self.send_response(206 if start is not None else 200)
        self.send_header("X-Repo-Commit", COMMIT)
        digest = _sha256(content) if name.endswith(LARGE) else _blob_id(content)
        self.send_header("ETag", f'"{digest}"')
        if start is not None:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        body = content[start or 0 :]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            cut = self.served.cuts.pop(0) if self.served.cuts and name.endswith(LARGE) else len(body)
            self.wfile.write(body[:cut])

    def _start(self) -> int | None:
        if not self.served.ranges or self.headers["Range"] is None:
            return None
        return int(self.headers["Range"].removeprefix("bytes=").split("-")[0])

    def _json(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("Content-Length", "0")
        self.end_headers()


def _lfs(name: str, content: bytes) -> dict[str, Any]:
    if not name.endswith(LARGE):
        return {}
    digest = _sha256(content)
    return {"lfs": {"sha256": digest, "oid": digest, "size": len(content), "pointerSize": 134}}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
