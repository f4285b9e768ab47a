"""The queue's file: damaged it is kept aside, and one server alone has it."""

import os
import threading
from pathlib import Path

import pytest

pytest.importorskip("starlette", reason="the extra 'serve' is not installed")
from run_graph.runtime.server.database import NAME, Database, FolderInUseError
from run_graph.runtime.server.queue import PromptQueue, QueuedPrompt
from run_graph.runtime.server.replies import Refused


def queued(name: str, number: float) -> QueuedPrompt:
    return QueuedPrompt(number, 0, name, None, 1, "{}", "{}", "[]")


def queue_in(folder: Path, maximum: int = 100) -> PromptQueue:
    told: list[str] = []
    return PromptQueue(Database(folder, told.append), told.append, maximum, 100)


def test_a_damaged_file_is_kept_aside_and_a_new_one_begins(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"no database" * 1000)
    told: list[str] = []
    database = Database(tmp_path, told.append)
    assert "damaged" in told[0]
    assert (tmp_path / f"{NAME}.damaged-1").read_bytes() == b"no database" * 1000
    assert database.read("SELECT count(*) FROM prompts")[0][0] == 0
    database.close()


def test_a_file_that_was_cut_off_is_kept_aside(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    for each in range(50):
        queue.add(queued(str(each), each))
    queue.database.close()
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes()[:6000])
    again = queue_in(tmp_path)
    assert (tmp_path / f"{NAME}.damaged-1").exists()
    again.add(queued("new", 1))
    again.database.close()


def test_two_servers_do_not_share_a_folder(tmp_path: Path) -> None:
    first = Database(tmp_path, print)
    with pytest.raises(FolderInUseError, match="choose another --user-dir"):
        Database(tmp_path, print)
    first.close()
    Database(tmp_path, print).close()


def test_what_ran_is_first_after_a_kill_and_the_others_keep_their_order(tmp_path: Path) -> None:
    queue = queue_in(tmp_path)
    for name, number in (("a", 5), ("b", 5), ("c", 1)):
        queue.add(queued(name, number))
    assert queue.take().id == "c"  # type: ignore[union-attr]
    queue.add(queued("front", -7))
    queue.database.close()  # as a kill leaves it

    again = queue_in(tmp_path)
    assert [each.id for each in again.listed()[1]] == ["c", "front", "a", "b"]
    assert again.take().id == "c"  # type: ignore[union-attr]
    again.database.close()


def test_a_full_queue_refuses(tmp_path: Path) -> None:
    queue = queue_in(tmp_path, maximum=1)
    queue.add(queued("a", 1))
    with pytest.raises(Refused, match="full") as refused:
        queue.add(queued("b", 1))
    assert refused.value.status == 503
    queue.database.close()


def test_threads_that_come_and_go_leave_no_connections_open(tmp_path: Path) -> None:
    database = Database(tmp_path, print)
    before = len(os.listdir("/dev/fd"))
    for _ in range(20):
        thread = threading.Thread(target=database.read, args=("SELECT count(*) FROM prompts",))
        thread.start()
        thread.join()
    assert len(os.listdir("/dev/fd")) <= before + 3
    database.close()
