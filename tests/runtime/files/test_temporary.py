"""Abandoned temporary files are removed, however their writer ended; other files are left alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from run_graph.runtime.files.temporary import remove_abandoned, temporary_file

KILLED = """
import os, signal, sys
from pathlib import Path
from run_graph.runtime.files.temporary import temporary_file
with temporary_file(Path(sys.argv[1]), b"half"):
    os.kill(os.getpid(), signal.SIGKILL)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_next_writer_removes_what_a_killed_process_left(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], cwd=root)
    assert killed.returncode == -9
    assert len(names(tmp_path)) == 1
    with temporary_file(tmp_path, b"whole") as path:
        assert names(tmp_path) == [path.name]
    assert names(tmp_path) == []


def test_a_file_that_is_being_written_stays(tmp_path: Path) -> None:
    with temporary_file(tmp_path, b"one") as one, temporary_file(tmp_path, b"two") as two:
        with temporary_file(tmp_path, b"three") as three:
            assert {one.name, two.name, three.name} == set(names(tmp_path))
        assert one.read_bytes() == b"one"
    assert names(tmp_path) == []


@pytest.mark.parametrize("name", [".run-graph-notes", "photo.tmp", ".0123456789abcdef.tmp"])
def test_other_files_stay(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    remove_abandoned(tmp_path)
    assert names(tmp_path) == [name]
