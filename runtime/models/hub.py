"""Get parts of a checkpoint from the Hugging Face cache, or download them from the Hub.

`HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`, `HF_HUB_OFFLINE` and `HF_TOKEN` have the
same meaning as for huggingface_hub.
"""

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from run_graph.runtime.errors import DownloadError
from run_graph.runtime.events import Listener, ignore
from run_graph.runtime.models.components import file_patterns
from run_graph.runtime.models.download import fetch_blobs
from run_graph.runtime.models.environment_variable import variable_set
from run_graph.runtime.models.inspection import faults
from run_graph.runtime.models.permissions import check_download

_OFFLINE = "HF_HUB_OFFLINE"


def fetch(repo: str, revision: str | None, parts: Sequence[str], on_event: Listener = ignore) -> Path:
    """The local snapshot folder of `repo`, with at least the named parts complete.

    A download is reported to `on_event` (as `Downloading`): its size and the free disk space before it
    starts, and then its progress.

    Raises
    ------
    DownloadError
        If the repository does not exist, requires a licence to be accepted, cannot be reached or must not
        be (offline), or if the disk is too full.
    """
    if (folder := cached(repo, revision, parts)) is not None:
        return folder
    check_download(repo)
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
    """The snapshot folder in the local cache if it has the named parts complete. Does not use the network.

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


def check_access(repo: str, revision: str | None, parts: Sequence[str]) -> None:
    """Ask the Hub whether `repo` may be downloaded; `parts` are what is missing of it.

    Raises
    ------
    DownloadError
        If the repository does not exist, requires a licence to be accepted, or cannot or must not be reached.
    """
    check_download(repo)
    if is_offline():
        raise DownloadError(_forbidden(repo, revision, parts))
    from huggingface_hub import HfApi

    try:
        HfApi().auth_check(repo)
    except Exception as error:  # Any answer of the network or the Hub, explained below.
        raise DownloadError(_explain(repo, revision, error)) from error


def commit_of(repo: str, revision: str | None) -> str | None:
    """The commit that a branch or tag means in the local cache; None if the cache does not know it."""
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    folder = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=repo, repo_type="model")
    try:
        return (folder / "refs" / (revision or "main")).read_text().strip()
    except OSError:
        return None


def is_offline() -> bool:
    """Whether the network must not be used: `HF_HUB_OFFLINE` is set, by the user or by `offline`."""
    return os.environ.get(_OFFLINE, "").upper() in {"1", "ON", "YES", "TRUE"}


def offline(wanted: bool = True) -> AbstractContextManager[None]:
    """Forbid the use of the network inside the context; `wanted=False` changes nothing.

    Sets `HF_HUB_OFFLINE`, which transformers and huggingface_hub read when they are first imported.
    """
    return variable_set(_OFFLINE, "1" if wanted else None)


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
    except Exception as error:  # Any answer of the network, the Hub or the disk, explained below.
        raise DownloadError(_explain(repo, revision, error)) from error


def _explain(repo: str, revision: str | None, error: Exception) -> str:
    import httpx
    from huggingface_hub import errors

    # The order matters: GatedRepoError is a RepositoryNotFoundError, and both are HTTP errors.
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
        f"{repo} is gated. Accept its licence at https://huggingface.co/{repo}, log in with the command "
        "`hf auth login`, and run again."
    )


def _not_found(repo: str) -> str:
    return (
        f"There is no repository {repo} on the Hugging Face Hub, or it is private. Check the spelling; if "
        "it is private, log in with the command `hf auth login`."
    )


def _unreachable(repo: str) -> str:
    return (
        f"{repo} is missing or incomplete in the local Hugging Face cache, and the Hub cannot be reached. "
        "Go online and run again to resume, or give the model as a local folder."
    )


def _forbidden(repo: str, revision: str | None, parts: Sequence[str]) -> str:
    at = f" at revision {revision}" if revision else ""
    return (
        f"{', '.join(parts)} of {repo}{at} is not in the local Hugging Face cache, and the network must not "
        f"be used (--offline or {_OFFLINE}). Run once without it, or give the model as a local folder."
    )
