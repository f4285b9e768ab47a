"""Files are found by name, numbered without collisions, and written completely or not at all."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import unicodedata
from datetime import datetime
from pathlib import Path
from typing import Literal

import pytest

from run_graph.runtime.files import outputs as files
from run_graph.runtime.files.atomic import SaveError, write_atomically
from run_graph.runtime.files.inputs import InputNotFoundError, digest, find_input
from run_graph.runtime.files.outputs import prefix_fault, save_numbered
from run_graph.runtime.files.prefix_tokens import expand_tokens, token_fault


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


# -- writing ----------------------------------------------------------------------------------------


def test_writing_creates_the_folders_and_leaves_only_the_file(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b.json", b"{}", overwrite=False)
    assert (tmp_path / "a" / "b.json").read_bytes() == b"{}"
    assert names(tmp_path / "a") == ["b.json"]


def test_overwriting_replaces_the_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_atomically(path, b"a long first version", overwrite=True)
    write_atomically(path, b"short", overwrite=True)
    assert path.read_bytes() == b"short"


def test_an_existing_file_is_kept_unless_overwriting_is_allowed(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with pytest.raises(SaveError, match=r"a\.json already exists; choose another name"):
        write_atomically(path, b"new", overwrite=False)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_overwriting_follows_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "real.json").write_bytes(b"old")
    (tmp_path / "link.json").symlink_to("real.json")
    write_atomically(tmp_path / "link.json", b"new", overwrite=True)
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").read_bytes() == b"new"


def test_a_written_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "ours", b"", overwrite=False)
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), MemoryError()])
def test_an_interrupted_write_leaves_the_old_content_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def interrupted(handle: int) -> None:
        raise failure

    monkeypatch.setattr(files.os, "fsync", interrupted)
    with pytest.raises(type(failure)):
        write_atomically(path, b"new", overwrite=True)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.json"]


def test_a_full_disk_is_reported_with_the_bytes_needed_and_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", full)
    with pytest.raises(SaveError, match=r"fox_.*it needs 1,234 bytes and [\d,]+ bytes are free"):
        save_numbered(tmp_path, "fox", ".png", bytes(1234))
    assert names(tmp_path) == []


def test_a_read_only_folder_is_reported_with_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "mkdir", denied)
    with pytest.raises(SaveError, match=r"Permission denied; choose a folder that you may write to"):
        save_numbered(tmp_path, "fox", ".png", b"")


def test_an_output_folder_that_is_a_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "output").write_bytes(b"")
    with pytest.raises(SaveError, match=r"cannot write .*output"):
        save_numbered(tmp_path / "output", "fox", ".png", b"")


def test_a_name_longer_than_the_file_system_allows_is_reported(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match=r"too long: .*shorten it"):
        save_numbered(tmp_path, "x" * 300, ".png", b"")
    assert names(tmp_path) == []


# -- numbering --------------------------------------------------------------------------------------


def test_numbers_start_at_one_and_go_up(tmp_path: Path) -> None:
    saved = [save_numbered(tmp_path / "output", "fox", ".png", bytes([i])) for i in range(3)]
    assert [path.name for path in saved] == ["fox_00001_.png", "fox_00002_.png", "fox_00003_.png"]
    assert [path.read_bytes() for path in saved] == [b"\0", b"\1", b"\2"]


@pytest.mark.parametrize(
    ("existing", "counter"),
    [
        (["fox_00041_.png"], "00042"),
        (["fox_7.jpg"], "00008"),
        (["fox_99999_.png"], "100000"),
        (["fox_00001_.png", "fox_00003_.png"], "00004"),
        (["fox_red_00009_.png", "foxes_00009_.png", "fox_.png", "fox_²_.png"], "00001"),
    ],
)
def test_the_number_is_one_above_the_highest_with_the_prefix(
    tmp_path: Path, existing: list[str], counter: str
) -> None:
    for name in existing:
        (tmp_path / name).touch()
    assert save_numbered(tmp_path, "fox", ".png", b"").name == f"fox_{counter}_.png"


RACING_SAVER = """
import os, pathlib, sys
from run_graph.runtime.files.outputs import save_numbered
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    save_numbered(pathlib.Path(sys.argv[1]), "fox", ".png", str(os.getpid()).encode())
"""


def test_processes_that_save_at_the_same_time_get_different_numbers(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACING_SAVER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    savers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    assert [saver.stdout.readline() for saver in savers] == ["ready\n"] * 4
    for saver in savers:
        saver.stdin.write("\n")
        saver.stdin.flush()
    for saver in savers:
        saver.communicate(timeout=30)
    assert names(tmp_path) == [f"fox_{n:05}_.png" for n in range(1, 41)]
    contents = [path.read_bytes() for path in tmp_path.iterdir()]
    assert all(contents.count(str(saver.pid).encode()) == 10 for saver in savers)


def test_a_number_taken_after_counting_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "fox_00001_.png").write_bytes(b"theirs")
    monkeypatch.setattr(files, "_next_counter", lambda folder, name: 1)
    assert save_numbered(tmp_path, "fox", ".png", b"ours").name == "fox_00002_.png"
    assert (tmp_path / "fox_00001_.png").read_bytes() == b"theirs"


def test_nothing_is_overwritten_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(source: object, target: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    (tmp_path / "fox_00001_.png").write_bytes(b"theirs")
    monkeypatch.setattr(files.os, "link", unsupported)
    monkeypatch.setattr(files, "_next_counter", lambda folder, name: 1)
    saved = save_numbered(tmp_path, "fox", ".png", b"ours")
    assert (saved.name, saved.read_bytes()) == ("fox_00002_.png", b"ours")
    assert names(tmp_path) == ["fox_00001_.png", "fox_00002_.png"]
    assert (tmp_path / "fox_00001_.png").read_bytes() == b"theirs"


def test_a_dangling_link_at_the_destination_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "fox_00001_.png").symlink_to(tmp_path / "elsewhere")
    save_numbered(tmp_path / "out", "fox", ".png", b"ours")
    assert not (tmp_path / "elsewhere").exists()


# -- prefixes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["a/b/fox", "a\\b\\fox", "./a//b/fox"])
def test_a_prefix_may_name_subfolders(tmp_path: Path, prefix: str) -> None:
    assert save_numbered(tmp_path, prefix, ".png", b"") == tmp_path / "a" / "b" / "fox_00001_.png"


@pytest.mark.parametrize("prefix", ["../fox", "a/../../fox", "a\\..\\fox", "/tmp/fox", "\\fox", ".."])
def test_a_prefix_outside_the_output_folder_is_refused(tmp_path: Path, prefix: str) -> None:
    assert prefix_fault(prefix)
    with pytest.raises(SaveError, match="points outside the output folder"):
        save_numbered(tmp_path / "out", prefix, ".png", b"")
    assert names(tmp_path) == []


def test_a_prefix_that_leads_outside_through_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(SaveError, match="through a symbolic link"):
        save_numbered(tmp_path / "out", "link/fox", ".png", b"")
    assert names(tmp_path / "outside") == []


def test_an_output_folder_that_is_itself_a_link_is_fine(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "real")
    assert save_numbered(tmp_path / "out", "a/fox", ".png", b"") == tmp_path / "out" / "a" / "fox_00001_.png"


@pytest.mark.parametrize("prefix", ["", ".", "/", "./."])
def test_a_prefix_without_a_name_is_refused(tmp_path: Path, prefix: str) -> None:
    with pytest.raises(SaveError, match="does not name a file"):
        save_numbered(tmp_path, prefix, ".png", b"")


def test_a_nul_in_a_prefix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaveError, match="NUL"):
        save_numbered(tmp_path, "fo\0x", ".png", b"")


@pytest.mark.parametrize("prefix", ["fox", "a/fox", "..fox", "fox...", "狐"])
def test_ordinary_prefixes_have_no_fault(tmp_path: Path, prefix: str) -> None:
    assert prefix_fault(prefix) is None
    assert save_numbered(tmp_path, prefix, ".png", b"").exists()


def test_tokens_become_size_and_local_time() -> None:
    now = datetime(2026, 3, 4, 5, 6, 7)
    prefix = "%year%-%month%-%day%/%hour%%minute%%second%_%width%x%height%"
    assert expand_tokens(prefix, width=640, height=48, now=now) == "2026-03-04/050607_640x48"


@pytest.mark.parametrize("prefix", ["100%", "50% off", "a%/b%", "%", "%%"])
def test_percent_signs_that_enclose_no_name_are_kept(prefix: str) -> None:
    assert token_fault(prefix) is None
    assert expand_tokens(prefix, width=1, height=1) == prefix


@pytest.mark.parametrize("token", ["WIDTH", "widthx", "Date", "batch_num", "seed"])
def test_an_unknown_token_is_refused_by_name(token: str) -> None:
    fault = token_fault(f"a/%{token}%_b")
    assert fault is not None
    assert f"unknown token %{token}%; known are %width%" in fault
    with pytest.raises(SaveError, match=f"%{token}%"):
        expand_tokens(f"a/%{token}%_b", width=1, height=1)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("yyyy-MM-dd", "2026-03-07"),
        ("yy.M.d", "26.3.7"),
        ("hh_mm_ss", "04_05_09"),
        ("h m s", "4 5 9"),
        ("yyyy-MM-dd hh:mm:ss", "2026-03-07 04_05_09"),
    ],
)
def test_dates_are_written_as_comfyui_s_browser_writes_them(pattern: str, expected: str) -> None:
    now = datetime(2026, 3, 7, 4, 5, 9)
    assert expand_tokens(f"%date:{pattern}%", width=1, height=1, now=now) == expected


GRAPH = {
    "sample": {"class_type": "FluxSample", "inputs": {"seed": 7, "flux": ["flux", 0]}},
    "12": {"class_type": "TextEncode", "inputs": {"prompt": "a/b:c"}, "_meta": {"title": "My prompt"}},
}


@pytest.mark.parametrize(
    ("token", "expected"),
    [("sample.seed", "7"), ("My prompt.prompt", "a_b_c"), ("FluxSample.seed", "7"), ("12.prompt", "a_b_c")],
)
def test_an_input_of_a_node_goes_into_the_name(token: str, expected: str) -> None:
    assert expand_tokens(f"x_%{token}%", width=1, height=1, graph=GRAPH) == f"x_{expected}"


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("sample.steps", "no node 'sample' has an input 'steps'"),
        ("sampel.seed", "no node 'sampel' has an input 'seed'"),
        ("sample.flux", "%sample.flux% in the file name prefix is linked"),
    ],
)
def test_an_input_that_is_not_there_is_refused_by_name(token: str, message: str) -> None:
    with pytest.raises(SaveError, match=message):
        expand_tokens(f"%{token}%", width=1, height=1, graph=GRAPH)


@pytest.mark.parametrize(
    ("prefix", "word"),
    [
        ("x" * 243, "too long"),
        ("ü" * 122, "too long"),
        ("日" * 300 + "/a", "too long"),
        ("a\nb", "control character"),
        ("a\x1b[2J", "control character"),
        ("a\ud83d", "a character that file names cannot have"),
    ],
)
def test_a_name_that_no_disk_takes_is_refused_before_anything_runs(prefix: str, word: str) -> None:
    assert word in (prefix_fault(prefix) or "")


@pytest.mark.parametrize("prefix", ["x" * 242, "ü" * 121, "日本語/ふね", "a b (c)"])
def test_a_name_that_just_fits_is_taken(tmp_path: Path, prefix: str) -> None:
    assert prefix_fault(prefix) is None
    assert save_numbered(tmp_path, prefix, ".png", b"x").read_bytes() == b"x"


def test_a_backslash_in_an_input_s_name_is_a_separator_where_no_file_has_it(tmp_path: Path) -> None:
    (tmp_path / "refs").mkdir()
    (tmp_path / "refs" / "fox.png").touch()
    assert find_input("refs\\fox.png", [tmp_path]) == tmp_path / "refs" / "fox.png"
    (tmp_path / "refs\\fox.png").touch()
    assert find_input("refs\\fox.png", [tmp_path]) == tmp_path / "refs\\fox.png"
    with pytest.raises(InputNotFoundError, match=r"no file 'refs\\\\cat.png'"):
        find_input("refs\\cat.png", [tmp_path])


# -- inputs -----------------------------------------------------------------------------------------


def test_the_first_folder_that_has_the_file_wins(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "fox.png").touch()
    assert find_input("fox.png", [tmp_path / "b", tmp_path / "a"]) == tmp_path / "b" / "fox.png"


def test_a_name_may_be_in_a_subfolder_or_absolute(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "fox.png").touch()
    assert find_input("sub/fox.png", [tmp_path]) == tmp_path / "sub" / "fox.png"
    assert find_input(str(tmp_path / "sub" / "fox.png"), []) == tmp_path / "sub" / "fox.png"


def test_a_missing_file_is_reported_with_the_folders_and_close_names(tmp_path: Path) -> None:
    (tmp_path / "fox.png").touch()
    (tmp_path / "tea.png").touch()
    with pytest.raises(InputNotFoundError) as caught:
        find_input("foks.png", [tmp_path, tmp_path / "absent"])
    assert str(caught.value) == (
        f"no file 'foks.png'; looked in {tmp_path}, {tmp_path / 'absent'}; did you mean 'fox.png'?"
    )


@pytest.mark.parametrize("name", ["", ".", "x" * 5000, "fo\0x"])
def test_names_that_cannot_be_files_are_reported_as_missing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputNotFoundError, match="no file"):
        find_input(name, [tmp_path])


def test_a_digest_is_the_sha256_of_the_content(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"abc" * 100_000)
    assert digest(tmp_path / "x") == hashlib.sha256(b"abc" * 100_000).hexdigest()


@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("on_disk", ["NFC", "NFD"])
def test_a_name_is_found_whichever_way_its_accents_are_encoded(
    tmp_path: Path, typed: Literal["NFC", "NFD"], on_disk: Literal["NFC", "NFD"]
) -> None:
    (tmp_path / unicodedata.normalize(on_disk, "café.png")).touch()
    found = find_input(unicodedata.normalize(typed, "café.png"), [tmp_path])
    assert found.is_file()
    with pytest.raises(InputNotFoundError):
        find_input("cafè.png", [tmp_path])
