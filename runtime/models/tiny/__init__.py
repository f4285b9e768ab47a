"""The small checkpoint that lets every workflow run without a download.

It is made on first use in the user's cache directory (or, if the environment variable
`RUN_GRAPH_CACHE` is set, there), in a fraction of a second, and used again afterwards. Where the
package carries trained weights in `runtime/models/tiny/checkpoint`, those are used instead.
"""

import hashlib
import json
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from runtime.models.errors import CheckpointError
from runtime.models.tiny.spec import TinySpec
from runtime.temporary import temporary_folder
from runtime.user_folders import cache_directory

__all__ = ["TinySpec", "ensure_tiny", "tiny_digest"]

_HERE = Path(__file__).parent
_SHIPPED = _HERE / "checkpoint"
_MANIFEST = "manifest.json"
_MAKER_SOURCES = ("spec.py", "shapes.py", "configs.py", "tokenizer_files.py", "make.py")


def ensure_tiny(spec: TinySpec | None = None) -> Path:
    """The folder of the tiny checkpoint; made now if it is absent or damaged.

    Safe to call from several processes at once: each writes its own folder and one rename wins.

    Raises
    ------
    CheckpointError
        If the cache directory cannot be written.
    """
    if spec is None and _SHIPPED.is_dir():
        return _SHIPPED
    spec = spec or TinySpec()
    folder = cache_directory() / f"tiny-{tiny_digest(spec)}"
    try:
        for _ in range(3):  # Another process may replace the same damaged copy meanwhile.
            if _is_intact(folder):
                return folder
            _make(folder, spec)
    except OSError as error:
        raise CheckpointError(
            f"The tiny model could not be written to {folder.parent}: {error.strerror or error}. "
            "Set RUN_GRAPH_CACHE to a folder that can be written."
        ) from error
    raise CheckpointError(f"The tiny model in {folder} stays damaged. Delete that folder and run again.")


@lru_cache
def tiny_digest(spec: TinySpec | None = None) -> str:
    """Twelve hex digits that change when the tiny checkpoint's contents may have changed."""
    if spec is None and _SHIPPED.is_dir():
        return hashlib.sha256((_SHIPPED / _MANIFEST).read_bytes()).hexdigest()[:12]
    digest = hashlib.sha256(repr(spec or TinySpec()).encode())
    for name in _MAKER_SOURCES:
        digest.update((_HERE / name).read_bytes())
    return digest.hexdigest()[:12]


def write_manifest(folder: Path) -> None:
    """Record the size and SHA-256 of every file in `folder`, so that damage is noticed."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    entries = {path.relative_to(folder).as_posix(): [path.stat().st_size, _sha256(path)] for path in files}
    (folder / _MANIFEST).write_text(json.dumps(entries, indent=2), encoding="utf-8")


def _make(folder: Path, spec: TinySpec) -> None:
    from runtime.models.tiny.make import make_checkpoint

    with temporary_folder(folder.parent) as workshop:
        fresh = workshop / "fresh"
        make_checkpoint(fresh, spec)
        write_manifest(fresh)
        _replace(folder, fresh, workshop / "damaged")


def _replace(folder: Path, fresh: Path, damaged: Path) -> None:
    """Put `fresh` in the place of `folder`, unless another process was quicker."""
    with suppress(FileNotFoundError):
        folder.rename(damaged)
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.exists():
            raise


def _is_intact(folder: Path) -> bool:
    try:
        entries = json.loads((folder / _MANIFEST).read_bytes())
        stats = [(name, (folder / name).stat()) for name in entries]
    except (OSError, ValueError):
        return False
    if any(stat.st_size != entries[name][0] for name, stat in stats):
        return False
    signature = tuple((name, stat.st_mtime_ns, entries[name][1]) for name, stat in stats)
    return _contents_match(folder, signature)


@lru_cache
def _contents_match(folder: Path, signature: tuple[tuple[str, int, str], ...]) -> bool:
    """Whether each file has its digest; remembered as long as no modification time changes."""
    return all(_sha256(folder / name) == digest for name, _, digest in signature)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
