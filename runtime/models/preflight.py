"""Before a run reads its first model: can the others that it needs be had?

Otherwise a licence that was not accepted, or a repository that does not exist, would be met only when a later
stage needs it, after the first ones have computed for minutes. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from run_graph.runtime.errors import DownloadError
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.component_key import ComponentKey
from run_graph.runtime.models.hub import check_access


@dataclass
class Preflight:
    """Asks the Hub once about each repository.

    Attributes
    ----------
    allowed : set
        Repositories that may be downloaded, or have been.
    """

    allowed: set[str] = field(default_factory=set)

    def check(self, needed: Mapping[ComponentKey, Checkpoint], first: Checkpoint) -> None:
        """Refuse a run if one of its models is neither on this machine nor to be had.

        Parameters
        ----------
        needed
            The components that the run needs.
        first
            The checkpoint that is read next; reading it tells whether it can be downloaded.

        Raises
        ------
        DownloadError
            If a repository requires a licence to be accepted, does not exist, or cannot or must not be
            reached.
        """
        for key, whole in needed.items():
            checkpoint = whole.holder(key.component)
            repo = checkpoint.repo
            if repo is None or repo in self.allowed or repo == first.repo:
                continue
            if checkpoint.local_folder(key.component) is None:
                try:
                    check_access(repo, checkpoint.revision, [key.component])
                except DownloadError as error:
                    raise DownloadError(f"{error} A later stage of this run needs it.") from error
                self.allowed.add(repo)
