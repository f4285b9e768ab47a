"""Nothing that is not run-graph's own is overwritten, deleted or shown to others."""

import hashlib
import json
from pathlib import Path

import pytest

from run_graph.runtime.cache.blob_store import RESULTS, BlobStore
from run_graph.runtime.cli.main import main


@pytest.mark.parametrize("option", ["--contact-sheet", "--draw"])
@pytest.mark.parametrize("victim", ["images/fox.png", "photo.PNG"])
def test_a_picture_of_the_user_is_not_overwritten(
    project: Path, capsys: pytest.CaptureFixture[str], option: str, victim: str
) -> None:
    path = Path(victim)
    if not path.exists():
        path.write_bytes(Path("images/fox.png").read_bytes())
    before = path.read_bytes()
    assert main(["redux.json", option, victim]) == 2
    assert "would overwrite a picture that is not" in capsys.readouterr().err
    assert path.read_bytes() == before
    assert not Path("output").exists()


@pytest.mark.parametrize("option", ["--contact-sheet", "--draw"])
def test_an_older_sheet_or_drawing_is_replaced(project: Path, option: str) -> None:
    for _ in range(2):
        assert main(["redux.json", option, "sheet.png", "--quiet"]) == 0


def test_the_cache_of_another_program_is_not_cleared(project: Path) -> None:
    folder = Path("other")
    (folder / "values").mkdir(parents=True)
    (folder / "values" / "mine").write_text("x")
    (folder / "CACHEDIR.TAG").write_text(
        "Signature: 8a477f597d28d172789f06886806bc55\n# of another program\n"
    )
    assert main(["--cache-clear", "--cache-dir", "other"]) == 2
    assert (folder / "values" / "mine").exists()


@pytest.mark.parametrize("name", ["../../victim.json", "/etc/hostname", "..", "", "a\0b"])
def test_an_entry_of_a_cache_cannot_name_a_file_outside_it(project: Path, name: str) -> None:
    victim = Path("victim.json")
    victim.write_text("precious")
    run = ["redux.json", "--cache-dir", "cache", "--quiet"]
    assert main(run) == 0
    for path in Path("cache", RESULTS).iterdir():
        entry = json.loads(path.read_bytes().partition(b"\n")[2])
        entry["values"] = dict.fromkeys(entry["values"], name)
        content = json.dumps(entry).encode()
        path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    assert main(run) == 0
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("existing_mode", [None, 0o755])
def test_nobody_else_may_read_the_cache(tmp_path: Path, existing_mode: int | None) -> None:
    folder = tmp_path / "cache"
    if existing_mode is not None:
        folder.mkdir(mode=existing_mode)
    BlobStore(folder, 10**6).write(RESULTS, "a" * 64, b"x")
    assert folder.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("path", ["/dev/zero", "link.json"])
def test_a_device_is_not_read_as_a_workflow(
    project: Path, capsys: pytest.CaptureFixture[str], path: str
) -> None:
    Path("link.json").symlink_to("/dev/zero")
    assert main([path, "--validate"]) == 2
    assert "this is a device, not a file" in capsys.readouterr().err
