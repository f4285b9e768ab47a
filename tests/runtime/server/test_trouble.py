"""A disk that does not take what it should, and requests that break off: told clearly, nothing half done."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from server_process import Server, light, png, slow


@contextmanager
def locked(server: Server, how: str) -> Iterator[None]:
    """The queue's file as another process holds it."""
    path = server.folder / "user" / "run-graph-queue.sqlite"
    lock = sqlite3.connect(path, isolation_level=None)
    lock.execute(how)
    yield
    lock.execute("ROLLBACK")
    lock.close()


def test_a_prompt_that_cannot_be_kept_is_refused_and_the_server_goes_on(server: Server) -> None:
    name = server.picture()
    with locked(server, "BEGIN EXCLUSIVE"):
        answer = server.post("/prompt", {"prompt": light(name)})
        assert answer.status_code == 503
        assert "locked" in answer.json()["error"]["message"]
        assert server.get("/queue").status_code == 200
        assert server.get("/history").status_code == 200
    server.run(light(name))


def test_how_a_prompt_ended_is_recorded_as_soon_as_it_can_be(server: Server) -> None:
    with server.listening("full") as listener:
        prompt_id = server.queue(slow(100, seed=8), client_id="full")
        listener.until(lambda m: m["type"] == "progress")
        with locked(server, "BEGIN IMMEDIATE"):
            listener.until_done(prompt_id)
            assert server.get(f"/history/{prompt_id}").json()[prompt_id]["status"]["completed"]
            assert prompt_id in server.get("/history").json()
            refused = server.post("/history", {"delete": [prompt_id]})
            assert refused.status_code == 503
            assert "not changed" in refused.json()["error"]["message"]
    assert "cannot be written" in server.log
    server.run(light(server.picture()))
    assert list(server.get("/history").json()).count(prompt_id) == 1
    assert server.get(f"/api/jobs/{prompt_id}").json()["status"] == "completed"
    server.post("/history", {"delete": [prompt_id]})
    assert prompt_id not in server.get("/history").json()


def test_an_upload_that_is_cut_off_leaves_no_file(server: Server) -> None:
    before = sorted((server.folder / "input").iterdir())
    content = b'--B\r\nContent-Disposition: form-data; name="image"; filename="x.png"\r\n\r\n' + png()
    headers = {"content-type": "multipart/form-data; boundary=B"}
    assert server.http.post("/upload/image", content=content, headers=headers).status_code == 400
    assert sorted((server.folder / "input").iterdir()) == before
