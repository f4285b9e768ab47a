"""Get a single file, such as a LoRA, from the Hugging Face cache, or download it from the Hub."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

from run_graph.graph.faults import listed
from run_graph.runtime.errors import DownloadError
from run_graph.runtime.models.hub import is_offline
from run_graph.runtime.models.permissions import check_download


def fetch_file(repo: str, file: str | None, suffix: str) -> Path:
    """The local copy of a file of `repo`.

    Parameters
    ----------
    repo
        `org/name`.
    file
        Its name or path in the repository; the suffix may be omitted. None means the only file with that
        suffix.
    suffix
        For example `.safetensors`.

    Raises
    ------
    DownloadError
        If there is no such file, if several files match, or if the Hub cannot be reached.
    """
    if (found := cached_file(repo, file, suffix)) is not None:
        return found
    check_download(repo)
    if is_offline():
        raise DownloadError(
            f"{file or 'the file'} of {repo} is not in the local Hugging Face cache, and the network must "
            "not be used (--offline or HF_HUB_OFFLINE). Run once without it, or give a local file."
        )
    try:
        return _downloaded(repo, file, suffix)
    except DownloadError:
        raise
    except Exception as error:  # Any answer of the network, the Hub or the disk.
        raise DownloadError(
            f"{repo} is not in the local Hugging Face cache and could not be downloaded: {error}. Check the "
            "name and the connection, or give the path of a local file."
        ) from error


def cached_file(repo: str, file: str | None, suffix: str) -> Path | None:
    """The local copy of a file that `fetch_file` would find without the network, or None."""
    for folder in _cached(repo):
        names = [path.relative_to(folder).as_posix() for path in folder.rglob(f"*{suffix}") if path.is_file()]
        if len(matches := _matches(names, file, suffix)) == 1:
            return folder / matches[0]
    return None


def _downloaded(repo: str, file: str | None, suffix: str) -> Path:
    from huggingface_hub import HfApi, hf_hub_download

    chosen = _only(_matches(HfApi().list_repo_files(repo), file, suffix), repo, file, suffix)
    return Path(hf_hub_download(repo, chosen))


def _cached(repo: str) -> Iterator[Path]:
    """The local copies of the repository: in the Hub's cache, and in mflux's own cache of LoRAs."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
    from mflux.cli.defaults.defaults import MFLUX_LORA_CACHE_DIR

    for cache in (None, MFLUX_LORA_CACHE_DIR):
        with contextlib.suppress(LocalEntryNotFoundError, HFValidationError):
            yield Path(snapshot_download(repo, cache_dir=cache, local_files_only=True))


def _matches(names: Iterable[str], file: str | None, suffix: str) -> list[str]:
    """The names with the suffix that `file` matches: as a path, or else as a file name in any folder."""
    candidates = sorted(name for name in names if name.endswith(suffix))
    if file is None:
        return candidates
    wanted = file if file.endswith(suffix) else file + suffix
    exact = [name for name in candidates if name == wanted]
    return exact or [name for name in candidates if PurePosixPath(name).name == wanted]


def _only(matches: list[str], repo: str, file: str | None, suffix: str) -> str:
    if len(matches) == 1:
        return matches[0]
    if not matches:
        raise DownloadError(f"{repo} has no file {file or '*' + suffix}. See its list of files on the Hub.")
    choices = listed((f"{repo}:{name}" for name in matches), 8)
    raise DownloadError(f"{repo} has {len(matches)} matching files; give one of {choices}.")
