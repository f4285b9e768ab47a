"""A file is known by its content: every change is noticed, and no large content is read twice."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from run_graph.runtime.files import digests
from run_graph.runtime.files.digests import (
    MEMO,
    announced_by,
    content_digest,
    content_digests,
    named_digest,
)
from run_graph.runtime.files.regular import NotRegularError

SIZES = [0, 10, digests._LARGE, digests._LARGE + 5]


@pytest.fixture(autouse=True)
def memo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of the memo; files count as settled at once."""
    monkeypatch.setenv("RUN_GRAPH_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(digests, "_SETTLED", 0)
    forget(monkeypatch)
    return tmp_path / "results" / MEMO


def forget(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a new process knows: nothing."""
    monkeypatch.setattr(digests, "_MEMO", digests._Memo())


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files whose content is read from now on."""
    seen: list[str] = []
    digest = hashlib.file_digest

    def counted(file: object, name: str) -> object:
        seen.append(Path(os.readlink(f"/proc/self/fd/{file.fileno()}")).name)  # type: ignore[attr-defined]
        return digest(file, name)  # type: ignore[arg-type]

    if not Path("/proc/self/fd").exists():
        pytest.skip("the open files are read from /proc")
    monkeypatch.setattr(hashlib, "file_digest", counted)
    return seen


@pytest.mark.parametrize("size", SIZES)
def test_a_digest_is_the_sha_256_of_the_content(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(size))
    assert content_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def replaced(path: Path, content: bytes) -> None:
    """Another file under the same name."""
    new = path.with_name("new")
    new.write_bytes(content)
    new.replace(path)


def rewritten(path: Path, content: bytes) -> None:
    """The same file with other content."""
    with path.open("r+b") as file:
        file.write(content)


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("change", [replaced, rewritten])
@pytest.mark.parametrize("new_process", [False, True])
def test_other_content_of_the_same_size_and_time_is_noticed(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    size: int,
    change: Callable[[Path, bytes], None],
    new_process: bool,
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(size))
    os.utime(path, (1_600_000_000, 1_600_000_000))
    before = content_digest(path)
    while not changed_after_a_tick(path, bytes([1]) * size, change):
        pass
    os.utime(path, (1_600_000_000, 1_600_000_000))
    if new_process:
        forget(monkeypatch)
    assert content_digest(path) == hashlib.sha256(bytes([1]) * size).hexdigest() != before


def changed_after_a_tick(path: Path, content: bytes, change: Callable[[Path, bytes], None]) -> bool:
    """Change the file; whether the file system's clock has moved on since it was last changed."""
    before = path.stat().st_ctime_ns
    change(path, content)
    os.utime(path, (1_600_000_000, 1_600_000_000))
    return path.stat().st_ctime_ns > before


def test_a_file_that_has_just_changed_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    """Within a tick of the file system's clock a second change would leave the same times."""
    monkeypatch.setattr(digests, "_SETTLED", 1000)
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZES[-1]))
    assert content_digest(path) == content_digest(path)
    assert reads == ["file", "file"]


def test_a_large_content_is_read_once_in_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str], memo: Path
) -> None:
    large, small = tmp_path / "large", tmp_path / "small"
    large.write_bytes(bytes(SIZES[-1]))
    small.write_bytes(b"small")
    first = content_digests([large, small])
    assert content_digests([large, small]) == first
    assert sorted(reads) == ["large", "small"]
    forget(monkeypatch)
    assert content_digests([large, small]) == first
    assert sorted(reads) == ["large", "small", "small"], "the small one is as quickly read as remembered"
    assert [Path(file).name for file in json.loads(memo.read_bytes())] == ["large"]


def test_a_link_is_the_file_that_it_leads_to(tmp_path: Path, reads: list[str]) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_bytes(bytes(SIZES[-1]))
    link.symlink_to(path)
    assert content_digest(link) == content_digest(path)
    assert reads == ["file"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"/a": 1}', b'{"/a": [["x"], "d"]}', b"\xff"])
def test_a_damaged_memo_is_as_good_as_none(tmp_path: Path, memo: Path, content: bytes) -> None:
    memo.parent.mkdir()
    memo.write_bytes(content)
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZES[-1]))
    assert content_digest(path) == hashlib.sha256(bytes(SIZES[-1])).hexdigest()
    assert list(json.loads(memo.read_bytes())) == [os.path.realpath(path)]


def test_a_memo_that_cannot_be_written_fails_nothing(tmp_path: Path, memo: Path) -> None:
    memo.parent.write_text("a file where the folder should be")
    path = tmp_path / "file"
    path.write_bytes(bytes(SIZES[-1]))
    assert content_digest(path) == hashlib.sha256(bytes(SIZES[-1])).hexdigest()


def test_the_memo_keeps_the_newest(tmp_path: Path, memo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_LARGE", 1)
    monkeypatch.setattr(digests, "_ENTRIES", 3)
    for name in "abcde":
        (tmp_path / name).write_bytes(b"content")
        content_digest(tmp_path / name)
    assert [Path(file).name for file in json.loads(memo.read_bytes())] == ["c", "d", "e"]


def test_processes_add_to_one_memo(tmp_path: Path, memo: Path) -> None:
    code = "import sys; from run_graph.runtime.files import digests; digests._SETTLED = 0\n"
    code += "from pathlib import Path; digests.content_digest(Path(sys.argv[1]))"
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(bytes(SIZES[-1]))
        subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=True)
    assert [Path(file).name for file in json.loads(memo.read_bytes())] == ["one", "two"]


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "odd")
    with pytest.raises(NotRegularError, match=r"is a \w+, not a regular file"):
        content_digest(tmp_path / "odd")


def test_a_named_digest_depends_on_names_and_contents_alone(tmp_path: Path) -> None:
    for name in ("one", "two", "copy of one"):
        (tmp_path / name).write_bytes(name.removeprefix("copy of ").encode())
    one, two, copy = (tmp_path / name for name in ("one", "two", "copy of one"))
    assert named_digest({"a": one, "b": two}) == named_digest({"b": two, "a": copy})
    assert named_digest({"a": one, "b": two}) != named_digest({"a": two, "b": one})
    assert named_digest({"a": one}) != named_digest({"b": one})


def test_before_a_lot_is_read_it_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memo: Path
) -> None:
    monkeypatch.setattr(digests, "_LONG", 2 * digests._LARGE)
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_bytes(bytes(digests._LARGE))
    told: list[str] = []
    with announced_by(told.append):
        content_digest(files[0])
        assert told == [], "half of it is not long"
        content_digests(files)
        assert told == [], "the other half is not either"
        forget(monkeypatch)
        memo.unlink()
        content_digests(files)
        content_digests(files)
    assert told == [
        "reading 2.0 MB of model files; a file is known by its content, and is read for this only once"
    ]


def test_what_was_read_before_an_interruption_is_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reads: list[str]
) -> None:
    paths = [tmp_path / name for name in ("a", "missing")]
    paths[0].write_bytes(bytes(digests._LARGE))
    with pytest.raises(FileNotFoundError):
        content_digests(paths)
    forget(monkeypatch)
    content_digest(paths[0])
    assert reads == ["a"]
