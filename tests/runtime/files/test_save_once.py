"""A node's files are written once, even if its run is killed before, between or after them."""

from pathlib import Path

import pytest
from cache_samples import disk

from run_graph.runtime.engine.context import CancelToken, NodeContext, RunContext, RunEnvironment
from run_graph.runtime.engine.services import Services
from run_graph.runtime.events import ignore
from run_graph.runtime.files import save_once as saving
from run_graph.runtime.files.atomic import SaveError
from run_graph.runtime.files.save_once import save_once


def save(folder: Path, *contents: bytes) -> list[str]:
    """Names of the files that one run of an unfinished node writes or finds already written."""
    environment = RunEnvironment([folder], folder / "out")
    cache = disk(folder / "cache")[0]
    run = RunContext(lambda node_id: environment, Services(), cache, ignore, CancelToken(), lambda *_: {})
    context = NodeContext("save", run, "save")
    return [path.name for path in save_once(context, "fox", ".png", contents)]


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").iterdir())}


def test_what_a_killed_run_wrote_is_not_written_again(tmp_path: Path) -> None:
    assert save(tmp_path, b"one, 1 s", b"two, 1 s") == ["fox_00001_.png", "fox_00002_.png"]
    assert save(tmp_path, b"one, 2 s", b"two, 2 s") == ["fox_00001_.png", "fox_00002_.png"]
    assert written(tmp_path) == {"fox_00001_.png": b"one, 1 s", "fox_00002_.png": b"two, 1 s"}


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_run_killed_between_two_files_writes_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "fox_00001_.png").write_bytes(b"somebody else's")
    left = [done]

    def killed(*args: object) -> Path:
        if not left[0]:
            raise SaveError("killed here")
        left[0] -= 1
        return real(*args)  # type: ignore[arg-type]

    real = saving.save_numbered
    monkeypatch.setattr(saving, "save_numbered", killed)
    contents = [b"one", b"two", b"three"]
    with pytest.raises(SaveError):
        save(tmp_path, *contents)
    monkeypatch.setattr(saving, "save_numbered", real)
    for _ in range(2):  # killed again after everything was written
        assert save(tmp_path, *contents) == ["fox_00002_.png", "fox_00003_.png", "fox_00004_.png"]
    assert list(written(tmp_path).values()) == [b"somebody else's", *contents]


def test_a_file_that_the_user_removed_is_written_again(tmp_path: Path) -> None:
    [name] = save(tmp_path, b"one")
    (tmp_path / "out" / name).unlink()
    save(tmp_path, b"again")
    assert list(written(tmp_path).values()) == [b"again"]
