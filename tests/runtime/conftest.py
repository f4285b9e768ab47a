"""A folder with a workflow in it, as a user would have one."""

from pathlib import Path

import pytest


@pytest.fixture
def project(tmp_path: Path, small_model: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``redux.json`` on a small model, its pictures beside it, and the working directory there."""
    from small import make_project

    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path, small_model)
