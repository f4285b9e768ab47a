"""Folders of models whose files hold nothing, and a home folder of the test's own."""

from collections.abc import Callable
from pathlib import Path

import pytest

from run_graph.runtime.models.library import settings


@pytest.fixture(autouse=True)
def _no_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's own is found, and the working directory is the test's."""
    monkeypatch.delenv(settings.VARIABLE, raising=False)
    monkeypatch.setattr(settings, "_configuration_folder", lambda: tmp_path / "config")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Path]:
    """Makes empty files below a folder, which it returns."""

    def make(folder: str, *names: str) -> Path:
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path / folder

    return make
