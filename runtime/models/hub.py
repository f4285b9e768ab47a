"""Fetch parts of a checkpoint from the Hugging Face Hub, or from its local cache if they are there.

`HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and `HF_TOKEN` mean what they mean to
huggingface_hub.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from run_graph.runtime.errors import DownloadError
from run_graph.runtime.events import Listener, ignore
from run_graph.runtime.models.components import file_patterns
from run_graph.runtime.models.download import fetch_blobs
from run_graph.runtime.models.inspection import faults

_OFFLINE = "HF_HUB_OFFLINE"


def fetch(repo: str, revision: str | None, parts: Sequence[str], on_event: Listener = ignore) -> Path:
    """The local snapshot folder of `repo`, with at least the named parts complete.

    If a download is needed, `on_event` receives `Downloading` events: one before it begins, with its
    size and the free disk space, and then others with its progress.

    Raises
    ------
    DownloadError
        If the repository does not exist, is gated, is not cached while offline, or cannot be reached, or
        if the disk is too full.
    """
    if (folder := cached(repo, revision, parts)) is not None:
        return folder
    if is_offline():
        raise DownloadError(_forbidden(repo, revision, parts))
    folder = _downloaded(repo, revision, parts, on_event)
    if not folder.is_dir():
        raise DownloadError(
            f"{repo} has no {' and no '.join(parts)}: it is not a FLUX.1 model in diffusers' layout."
        )
    if problems := faults(folder, parts):
        raise DownloadError(f"{repo} is incomplete after download. {' '.join(problems)}")
    return folder


def cached(repo: str, revision: str | None, parts: Sequence[str]) -> Path | None:
    """The snapshot folder in the local cache, if the named parts are complete. No network access.

    Raises
    ------
    DownloadError
        If the cache cannot be read.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        patterns = _patterns(parts)
        found = snapshot_download(repo, revision=revision, allow_patterns=patterns, local_files_only=True)
    except LocalEntryNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise DownloadError(_explain(repo, revision, error)) from error
    return None if faults(Path(found), parts) else Path(found)


def commit_of(repo: str, revision: str | None) -> str | None:
    """The commit that a branch or tag points to in the local cache; None if it is not cached."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    try:
        return (folder / "refs" / (revision or "main")).read_text().strip()
    except OSError:
        return None


def is_offline() -> bool:
    """Whether network access is forbidden: `HF_HUB_OFFLINE` is set, or an `offline` block is active."""
    return os.environ.get(_OFFLINE, "").upper() in {"1", "ON", "YES", "TRUE"}


@contextmanager
def offline(wanted: bool = True) -> Iterator[None]:
    """Forbid network access inside the block; `wanted=False` changes nothing.

    Sets `HF_HUB_OFFLINE`, which transformers and huggingface_hub read when they are first imported.
    """
    before = os.environ.get(_OFFLINE)
    if wanted:
        os.environ[_OFFLINE] = "1"
    try:
        yield
    finally:
        if before is not None:
            os.environ[_OFFLINE] = before
        elif wanted:
            del os.environ[_OFFLINE]


def _patterns(parts: Sequence[str]) -> list[str]:
    return [pattern for part in parts for pattern in file_patterns(part)]


def _downloaded(repo: str, revision: str | None, parts: Sequence[str], on_event: Listener) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    patterns = _patterns(parts)
    try:
        fetch_blobs(repo, revision, patterns, on_event)
        with disable_progress_bars():
            return Path(snapshot_download(repo, revision=revision, allow_patterns=patterns))
    except DownloadError:
        raise
    except Exception as error:  # Any failure of the network, the Hub or the disk; explained below.
        raise DownloadError(_explain(repo, revision, error)) from error


def _explain(repo: str, revision: str | None, error: Exception) -> str:
    import httpx
    from huggingface_hub import errors

    # GatedRepoError is a subclass of RepositoryNotFoundError, and both are HTTP errors: order matters.
    if isinstance(error, errors.GatedRepoError):
        return _gated(repo)
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repo} has no revision {revision!r}. Leave the revision out to use the newest."
    if isinstance(error, errors.RepositoryNotFoundError):
        return _not_found(repo)
    if isinstance(error, (errors.LocalEntryNotFoundError, ConnectionError, httpx.TransportError)):
        return _unreachable(repo)
    return f"{repo} could not be downloaded: {error}. Run again to resume."


def _gated(repo: str) -> str:
    return (
        f"{repo} is gated: its licence must be accepted first. Accept it at https://huggingface.co/{repo}, "
        "log in with the command `hf auth login`, and run again."
    )


def _not_found(repo: str) -> str:
    return (
        f"The Hugging Face Hub has no repository {repo}. Check the spelling; if it is private, "
        "log in with the command `hf auth login`."
    )


def _unreachable(repo: str) -> str:
    return (
        f"{repo} is not completely in the local Hugging Face cache, and the Hub cannot be reached. Go "
        "online and run again to resume, or give the model as a local folder."
    )


def _forbidden(repo: str, revision: str | None, parts: Sequence[str]) -> str:
    at = f" at revision {revision}" if revision else ""
    return (
        f"{', '.join(parts)} of {repo}{at} is not in the local Hugging Face cache, and network access is "
        f"turned off (--offline or {_OFFLINE}). Run once online, or give the model as a local folder."
    )
