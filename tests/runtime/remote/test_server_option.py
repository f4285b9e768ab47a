"""``run-graph FILE --server URL``, with a server process: as a run here, but there."""

import http.server
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from processes import started
from server_process import Server, light, png, slow, waited

from run_graph import Cancelled, CancelToken, Graph
from run_graph.graph import load_workflow
from run_graph.runtime.cli.main import main
from run_graph.runtime.remote import messages
from run_graph.runtime.remote.errors import ServerError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUN_GRAPH_TOKEN", raising=False)
    return tmp_path


def url(server: Server) -> str:
    return str(server.http.base_url)


def written(name: str, graph: dict[str, Any]) -> str:
    Path(name).write_text(json.dumps(graph))
    return name


def pixels(path: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path))


def sampled_over_photo(seed: int = 3) -> dict[str, Any]:
    """A sampling that begins with a picture of the workflow's folder."""
    graph = slow(3, seed=seed)
    graph["photo"] = {"class_type": "LoadImage", "inputs": {"image": "photo.png"}}
    graph["start"] = {"class_type": "VAEEncode", "inputs": {"pixels": ["photo", 0], "vae": ["flux", 2]}}
    graph["9"]["inputs"]["filename_prefix"] = "made"
    graph["photo copy"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["photo", 0], "filename_prefix": "sub/photo"},
    }
    return graph


def test_pictures_are_equal_to_the_bit_and_numbered_as_here(
    server: Server, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("photo.png").write_bytes(png((64, 48), (10, 200, 30)))
    file = written("graph.json", sampled_over_photo())
    Path("there").mkdir()
    Path("there/made_00007_.png").write_bytes(b"mine")

    assert main([file, "-o", "here"]) == 0
    local = capsys.readouterr()
    assert main([file, "-o", "there", "--server", url(server)]) == 0
    remote = capsys.readouterr()

    assert sorted(local.out.split()) == ["here/made_00001_.png", "here/sub/photo_00001_.png"]
    assert sorted(remote.out.split()) == ["there/made_00008_.png", "there/sub/photo_00001_.png"]
    for one, other in zip(sorted(local.out.split()), sorted(remote.out.split()), strict=True):
        assert (pixels(one) == pixels(other)).all()
        carried = Image.open(one).info.keys(), Image.open(other).info.keys()
        assert carried[0] == carried[1]
    assert Path("there/made_00007_.png").read_bytes() == b"mine"
    assert stages(local.err) == stages(remote.err) >= {"FluxSample sample", "SaveImage 9"}


def stages(text: str) -> set[str]:
    """The nodes that progress lines tell of, without their times."""
    return {line.removeprefix("run-graph: ").rpartition(":")[0] for line in text.splitlines()}


def test_a_picture_is_uploaded_once_and_a_sweep_runs_in_order_on_warm_models(
    server: Server, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = png((20, 20), (9, 8, 7))
    Path("photo.png").write_bytes(content)
    Path("same.png").write_bytes(content)
    file = written("graph.json", sampled_over_photo())
    before = set(os.listdir(server.folder / "input"))
    arguments = [file, "--server", url(server), "--sweep", "sample.seed=21,22"]
    assert main([*arguments, "--sweep", "photo.image=photo.png,same.png", "--target", "9"]) == 0
    out = capsys.readouterr().out.split()
    assert out == ["output/made_seed-21_00001_.png", "output/made_seed-22_00001_.png"]
    assert main([*arguments, "--json"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [new] = set(os.listdir(server.folder / "input")) - before
    assert new.startswith("photo-")

    told = [event["event"] for event in events]
    assert told[:2] == ["sweep", "run_started"]
    assert told[-1] == "run_finished"
    ended = [event["node_id"] for event in events if event["event"] in ("node_reused", "node_finished")]
    assert len(ended) == len(set(ended)) == events[1]["nodes"]
    assert "model_loaded" not in told
    assert "sample@seed-21" in [event["node_id"] for event in events if event["event"] == "node_reused"]


def test_what_the_server_refuses_is_named_by_node_and_input(
    server: Server, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written("graph.json", light("nowhere.png"))
    assert main([file, "--server", url(server)]) == 2
    error = capsys.readouterr().err
    assert "graph.json: node '1' (LoadImage), input 'image': the server says:" in error
    assert "nowhere.png" in error
    assert "Traceback" not in error
    graph = light("nowhere.png")
    graph["2"]["class_type"] = "OnlyElsewhere"
    assert main([written("graph.json", graph), "--server", url(server)]) == 2
    assert "node '2' (OnlyElsewhere)" in capsys.readouterr().err
    assert main([file, "--server", url(server), "--target", "2"]) == 2
    assert "a server runs output nodes only. The output nodes are 9." in capsys.readouterr().err
    assert server.get("/prompt").json()["exec_info"]["queue_remaining"] == 0


def test_a_node_that_fails_there_fails_here(
    server: Server, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("broken.png").write_bytes(b"no picture")
    assert main([written("graph.json", light("broken.png")), "--server", url(server)]) == 1
    error = capsys.readouterr().err
    assert "graph.json: node '1' (LoadImage) failed:" in error
    assert "image = " in error


def test_warnings_of_the_server_are_shown(
    server: Server, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = slow(1)
    graph["text"]["inputs"]["prompt"] = "fox " * 600
    assert main([written("graph.json", graph), "--server", url(server)]) == 0
    assert "warning: node 'text'" in capsys.readouterr().err


def test_ctrl_c_interrupts_the_prompt_which_resumes_when_it_is_run_again(
    server: Server, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [written("graph.json", slow(150, seed=5, size=128)), "--server", url(server), "--json"]
    process = started(here, *arguments, "--sweep", "sample.seed=5,6")
    assert process.stdout is not None
    told: list[dict[str, Any]] = []
    while not told or told[-1]["event"] != "node_progress" or told[-1]["value"] < 3:
        told.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    out, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert re.fullmatch(
        r"run-graph: interrupted after 0 of 2; run it again to go on from step \d+ of 150\n", error
    )
    last = [json.loads(line) for line in out.splitlines()][-2:]
    assert [event["event"] for event in last] == ["node_interrupted", "run_finished"]
    assert server.get("/queue").json() == {"queue_running": [], "queue_pending": []}

    assert main([*arguments, "--set", "sample.seed=5"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    [resumed] = [event["value"] for event in events if event["event"] == "node_resumed"]
    assert resumed == last[0]["value"] >= 3


def test_from_python(server: Server, here: Path) -> None:
    Path("photo.png").write_bytes(png())
    workflow = load_workflow(written("graph.json", light("photo.png", "python")))
    result = Graph.from_workflow(workflow).run(server=url(server), output_directory="made")
    assert result.outputs("9").path == "made/python_00001_.png"  # type: ignore[attr-defined]
    assert pixels("made/python_00001_.png").shape == (48, 64, 3)
    with pytest.raises(ValueError, match="leave out strict"):
        Graph.from_workflow(workflow).run(server=url(server), strict=True)
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        Graph.from_workflow(workflow).run(server=url(server), token=token)
    with pytest.raises(ServerError, match="is not the address of a server"):
        Graph.from_workflow(workflow).run(server="ftp://x")


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_a_server_that_is_killed_and_comes_back_ends_the_run(
    here: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "secret"
    file = written("graph.json", slow(300, seed=8, size=128))
    with Server(here / "server", "--port", str(free_port()), "--token", token) as server:
        arguments = [file, "--server", url(server)]
        assert main(arguments) == 2
        assert "wants a token; give its own with --token or in RUN_GRAPH_TOKEN" in capsys.readouterr().err
        assert main([*arguments, "--token", "wrong"]) == 2
        assert "refuses this token" in capsys.readouterr().err
        monkeypatch.setenv("RUN_GRAPH_TOKEN", token)
        server.http.headers["Authorization"] = f"Bearer {token}"

        def again() -> None:
            waited(lambda: server.get("/queue").json()["queue_running"])
            server.kill()
            server.start()

        killer = threading.Thread(target=again)
        killer.start()
        assert main(arguments) == 0
        killer.join()
        shown = capsys.readouterr()
        assert shown.out == "output/slow_00001_.png\n"
        assert "the connection was lost; waiting" in shown.err

        monkeypatch.setattr(messages, "PATIENCE", 1.0)
        server.http.headers["Authorization"] = f"Bearer {token}"

        def gone() -> None:
            waited(lambda: server.get("/queue").json()["queue_running"])
            server.kill()

        killer = threading.Thread(target=gone)
        killer.start()
        assert main([*arguments, "--set", "sample.seed=9"]) == 2
        killer.join()
        assert "stays in its queue; start the server again" in capsys.readouterr().err


def test_what_is_no_server_is_told(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written("graph.json", slow(1))
    assert main([file, "--server", f"127.0.0.1:{free_port()}"]) == 2
    assert "no server answers at http://127.0.0.1:" in capsys.readouterr().err
    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        assert main([file, "--server", f"http://127.0.0.1:{other.server_port}"]) == 2
        other.shutdown()
    assert "does not answer as run-graph serve or ComfyUI does" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--low-ram", "--no-cache", "--cluster=tcp://h:1", "--strict"])
def test_options_about_this_machine_are_refused(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["a.json", "--server", "http://h:1", option])
    assert f"{option.partition('=')[0]} is about runs on this machine" in capsys.readouterr().err
