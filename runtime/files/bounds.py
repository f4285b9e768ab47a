"""Which files a workflow may read. One that came in a picture may not read everything that its user can."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


class OutOfBoundsError(PermissionError):
    """A workflow names a file that it may not read; the message says how to allow it."""


@dataclass(frozen=True)
class Bounds:
    """The files and folders that may be read, everything below a folder included."""

    allowed: tuple[Path, ...]

    def cover(self, path: str | Path) -> bool:
        """Whether a path may be read. Links are followed first, since they may lead anywhere."""
        real = Path(os.path.realpath(path))
        return any(real.is_relative_to(os.path.realpath(place)) for place in self.allowed)

    def and_also(self, paths: Iterable[str | Path]) -> Bounds:
        """These bounds with more files and folders."""
        return Bounds((*self.allowed, *map(Path, paths)))

    def check(self, path: Path) -> Path:
        """The path. Raises OutOfBoundsError if it may not be read."""
        if not self.cover(path):
            raise OutOfBoundsError(
                f"{path} is outside the folders that a workflow from a picture may read; "
                f"allow its folder with --allow-read {os.path.dirname(os.path.realpath(path))}"
            )
        return path
