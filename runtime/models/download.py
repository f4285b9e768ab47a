"""Download weights from the Hugging Face Hub into its cache, resuming where an earlier attempt stopped.

When a download is interrupted, huggingface_hub keeps the finished files and starts the others again from
zero, which for FLUX.1 means up to 10 GB. Here each large file is collected in `blobs/<digest>.partial`
in the Hub's cache, over as many attempts as it takes, and then moved to where huggingface_hub looks for
it (https://huggingface.co/docs/huggingface_hub/guides/manage-cache). huggingface_hub downloads the small
files itself.
"""

import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from run_graph.runtime.errors import DownloadError
from run_graph.runtime.events import Downloading, Listener, ignore
from run_graph.runtime.units import bytes_text

ATTEMPTS = 5  # Give up after this many in a row that bring no data.
_REPORT_EVERY = 0.25  # Seconds.


@dataclass(frozen=True)
class Blob:
    """One large file of a repository: its name, SHA-256, size in bytes, and path in the cache."""

    name: str
    digest: str
    size: int
    path: Path

    @property
    def partial(self) -> Path:
        """The file that collects what has arrived so far."""
        return self.path.with_name(f"{self.digest}.partial")

    @property
    def lock(self) -> Path:
        """The lock file that huggingface_hub uses when it downloads the same blob."""
        repository = self.path.parents[1]
        return repository.parent / ".locks" / repository.name / f"{self.digest}.lock"

    @property
    def held(self) -> int:
        """How many bytes have arrived."""
        return self.partial.stat().st_size if self.partial.exists() else 0


def fetch_blobs(
    repo: str, revision: str | None, patterns: Sequence[str], on_event: Listener = ignore
) -> None:
    """Download the large files of `repo` that match the patterns and are not in the cache yet.

    `on_event` receives one `Downloading` event before anything is downloaded, then several a second.

    Raises
    ------
    DownloadError
        If the disk has no room, or a file arrives damaged.
    HfHubHTTPError, httpx.TransportError, OSError
        As raised by the Hub client, the network and the disk.
    """
    commit, blobs = _missing(repo, revision, patterns)
    if not blobs:
        return
    folder = blobs[0].path.parent
    held = sum(blob.held for blob in blobs)
    state = Downloading(repo, held, sum(blob.size for blob in blobs), _free_bytes(folder), str(folder))
    _check_room(state)
    on_event(state)
    for blob in blobs:
        state = _fetch(blob, commit, state, on_event)


def _missing(repo: str, revision: str | None, patterns: Sequence[str]) -> tuple[str, list[Blob]]:
    """The commit that the revision names, and its large files that are missing or truncated in the cache."""
    from huggingface_hub import HfApi
    from huggingface_hub.utils import filter_repo_objects

    info = HfApi().model_info(repo, revision=revision, files_metadata=True)
    place = _repository_folder(repo) / "blobs"
    large = {file.rfilename: file.lfs for file in info.siblings or [] if file.lfs is not None}
    blobs = [
        Blob(name, large[name].sha256, large[name].size, place / large[name].sha256)
        for name in filter_repo_objects(list(large), allow_patterns=list(patterns))
    ]
    return info.sha or revision or "main", [blob for blob in blobs if not _is_whole(blob)]


def _is_whole(blob: Blob) -> bool:
    return blob.path.exists() and blob.path.stat().st_size == blob.size


def _repository_folder(repo: str) -> Path:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    return Path(constants.HF_HUB_CACHE).expanduser() / repo_folder_name(repo_id=repo, repo_type="model")


def _free_bytes(folder: Path) -> int:
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    return shutil.disk_usage(existing).free


def _check_room(state: Downloading) -> None:
    wanted = state.total_bytes - state.done_bytes
    if wanted > state.free_bytes:
        raise DownloadError(
            f"{state.repository} needs {bytes_text(wanted)} more on disk, but only "
            f"{bytes_text(state.free_bytes)} are free in {state.folder}. Free some space, or set HF_HOME "
            "to a folder on a larger disk."
        )


def _fetch(blob: Blob, commit: str, state: Downloading, on_event: Listener) -> Downloading:
    """Download one file under its lock; return the progress of the whole download afterwards."""
    from huggingface_hub.utils import WeakFileLock

    for place in (blob.path, blob.lock):
        place.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(blob.lock):
        before = state.done_bytes - blob.held
        if not _is_whole(blob):
            _gather(blob, commit, replace(state, done_bytes=before), on_event)
            _check_digest(blob, state.repository)
            blob.partial.replace(blob.path)
    finished = replace(state, done_bytes=before + blob.size)
    on_event(finished)
    return finished


def _gather(blob: Blob, commit: str, state: Downloading, on_event: Listener) -> None:
    """Complete the partial file, reconnecting when the connection breaks."""
    import httpx
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(state.repository, blob.name, revision=commit)
    failures = 0
    while blob.held != blob.size:
        held = blob.held
        try:
            _stream(url, blob, state, on_event)
        except httpx.TransportError:
            failures = 0 if blob.held > held else failures + 1
            if failures == ATTEMPTS:
                raise
            time.sleep(failures)


def _stream(url: str, blob: Blob, state: Downloading, on_event: Listener) -> None:
    """Request the rest of the file over one connection and append it to the partial file."""
    from huggingface_hub import constants
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

    if blob.held > blob.size:
        blob.partial.unlink()
    headers = {**build_hf_headers(), "Accept-Encoding": "identity", "Range": f"bytes={blob.held}-"}
    options: dict[str, Any] = {"headers": headers, "timeout": constants.HF_HUB_DOWNLOAD_TIMEOUT}
    with http_stream_backoff("GET", url, retry_on_exceptions=(), **options) as response:
        hf_raise_for_status(response)
        resumes = response.status_code == 206  # Otherwise the server sends the file from its start.
        with blob.partial.open("ab" if resumes else "wb") as file:
            reported = 0.0
            for chunk in response.iter_bytes():  # As they arrive: data buffered here could be lost.
                file.write(chunk)
                if time.monotonic() - reported > _REPORT_EVERY:
                    reported = time.monotonic()
                    on_event(replace(state, done_bytes=state.done_bytes + file.tell()))


def _check_digest(blob: Blob, repo: str) -> None:
    with blob.partial.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != blob.digest:
        blob.partial.unlink()
        raise DownloadError(
            f"{blob.name} of {repo} arrived damaged and was deleted. Run again to download it."
        )
