"""A disk without space, a real one: told clearly, and the server goes on with what it can do."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from server_process import Server, light, slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], capture_output=True
        )
    except OSError:
        pytest.skip("there is no mount")
    if mounted.returncode:
        pytest.skip("a small file system needs the right to mount, on Linux")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> Path:
    """The file that takes all of the space that was left."""
    path = disk / "filling"
    with open(path, "wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017
    return path


def test_a_full_output_folder_fails_the_node_that_saves(disk: Path, tmp_path: Path) -> None:
    output = disk / "output"
    with Server(tmp_path / "server", "--output", str(output)) as server:
        name = server.picture()
        server.run(light(name))
        filling = fill(disk)
        entry = server.result(server.queue(light(name, width=300)))
        kind, error = entry["status"]["messages"][-1]
        assert (kind, error["node_id"]) == ("execution_error", "9")
        assert str(output) in error["exception_message"]
        assert "free some space" in error["exception_message"]
        assert [path.name for path in output.glob("*.*")] == ["light_00001_.png"], "nothing half written"
        filling.unlink()
        server.run(light(name, width=300))


def test_a_full_user_folder_refuses_new_prompts_and_runs_the_old_ones(disk: Path, tmp_path: Path) -> None:
    with Server(tmp_path / "server", "--user-dir", str(disk / "user")) as server:
        accepted = [server.queue(slow(60, seed=seed)) for seed in range(3)]
        filling = fill(disk)
        large = {"prompt": slow(3), "extra_data": {"note": "x" * 60_000}}
        answers = [server.post("/prompt", large) for _ in range(4)]  # the file may have room for the first
        assert answers[-1].status_code == 503
        assert "disk is full" in answers[-1].json()["error"]["message"]
        assert server.post("/settings", {"a": "b" * 9000}).status_code == 507
        for each in accepted:
            assert server.result(each)["status"]["completed"]
        filling.unlink()
        assert server.stop() == 143
        assert "Traceback" not in server.log
        server.start()
        assert set(accepted) <= set(server.get("/history").json()), "written at the end"
