"""Fetch parts of a checkpoint from the Hugging Face Hub, from its cache where they are there already.

`HF_HOME`, `HF_HUB_CACHE`, `HF_HUB_OFFLINE` and `HF_TOKEN` act as they do for huggingface_hub.
"""

from collections.abc import Sequence
from pathlib import Path

from runtime.models.components import file_patterns
from runtime.models.errors import DownloadError
from runtime.models.inspection import faults


def fetch(repo: str, revision: str | None, parts: Sequence[str]) -> Path:
    """The local snapshot folder of `repo`, holding at least the named parts, whole.

    Raises
    ------
    DownloadError
        If the repository does not exist, wants a licence accepted, or cannot be reached.
    """
    cached = _snapshot(repo, revision, parts, offline=True)
    if cached is not None and not faults(cached, parts):
        return cached
    folder = _snapshot(repo, revision, parts, offline=False)
    if folder is None:
        raise DownloadError(_unreachable(repo))
    if problems := faults(folder, parts):
        raise DownloadError(f"{repo} is incomplete after download. {' '.join(problems)}")
    return folder


def _snapshot(repo: str, revision: str | None, parts: Sequence[str], offline: bool) -> Path | None:
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    patterns = [pattern for part in parts for pattern in file_patterns(part)]
    try:
        return Path(
            huggingface_hub.snapshot_download(
                repo, revision=revision, allow_patterns=patterns, local_files_only=offline
            )
        )
    except Exception as error:  # Whatever the network, the Hub or the disk answers, explained below.
        if offline and isinstance(error, LocalEntryNotFoundError):
            return None
        raise DownloadError(_explain(repo, revision, error)) from error


def _explain(repo: str, revision: str | None, error: Exception) -> str:
    import httpx
    from huggingface_hub import errors

    # GatedRepoError is a RepositoryNotFoundError, and both are HTTP errors: the order matters.
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
        f"{repo} is gated: its licence has to be accepted. Accept it at https://huggingface.co/{repo}, "
        "log in with the command `hf auth login`, and run again."
    )


def _not_found(repo: str) -> str:
    return (
        f"The Hugging Face Hub shows no repository {repo}. Check the spelling; if it is private, "
        "log in with the command `hf auth login`."
    )


def _unreachable(repo: str) -> str:
    return (
        f"{repo} is not in the local Hugging Face cache, and the Hub cannot be reached. Go online "
        "(and unset HF_HUB_OFFLINE) for the first run, or give the model as a local folder."
    )
