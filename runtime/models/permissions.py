"""Which models a run may use: one that a stranger sent may not read every folder or download anything.

The rules are a context variable, like the run itself (:mod:`runtime.current_run`): whoever runs a workflow
for somebody else calls :func:`under` around its validation and its run. Outside of it everything is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from run_graph.runtime.errors import DownloadError, UnknownModelError


@dataclass(frozen=True)
class ModelRules:
    """What a run may use.

    Attributes
    ----------
    folders : sequence of Path
        Models may lie anywhere below these, also through links that lie there.
    repositories : frozenset of str, optional
        Of the Hub, those that may be downloaded. None: all.
    """

    folders: Sequence[Path]
    repositories: frozenset[str] | None = None

    def cover(self, path: Path) -> bool:
        """Whether a path lies in one of the folders, as it is written."""
        written = os.path.abspath(path)
        return any(Path(written).is_relative_to(os.path.abspath(folder)) for folder in self.folders)


_RULES: ContextVar[ModelRules | None] = ContextVar("run_graph_model_rules", default=None)


@contextmanager
def under(rules: ModelRules) -> Iterator[None]:
    """Inside the context these rules hold."""
    token = _RULES.set(rules)
    try:
        yield
    finally:
        _RULES.reset(token)


def may_read(path: Path) -> bool:
    """Whether a model at this path may be used."""
    rules = _RULES.get()
    return rules is None or rules.cover(path)


def check_path(path: Path) -> None:
    """Refuse a path that may not be used, whether or not something is there.

    Raises
    ------
    UnknownModelError
    """
    if not may_read(path):
        raise UnknownModelError(f"{path} is outside the server's folders of models; name a model in them")


def download_fault(repo: str) -> str | None:
    """Why a repository may not be downloaded; None if it may."""
    rules = _RULES.get()
    if rules is None or rules.repositories is None or repo in rules.repositories:
        return None
    return (
        f"{repo} is not on this machine, and this server does not download it. Start the server with "
        "--allow-downloads, or name another model"
    )


def check_download(repo: str) -> None:
    """Refuse a repository that may not be downloaded.

    Raises
    ------
    DownloadError
    """
    if fault := download_fault(repo):
        raise DownloadError(fault)
