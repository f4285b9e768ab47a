"""ComfyUI's editor in a real Chromium, on a real server."""

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from processes import command
from server_process import Server, first_picture, waited

pytest.importorskip("comfyui_frontend_package", reason="the extra 'serve' is not installed")
playwright = pytest.importorskip("playwright.sync_api", reason="the group 'browser' is not installed")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WORKFLOWS = Path(__file__).parents[3] / "workflows"
WAIT = 90_000  # milliseconds; a loaded machine draws slowly


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("editor"), frontend=True) as server:
        yield server


@contextmanager
def opened(server: Server) -> Iterator[tuple[Any, list[bytes], list[str]]]:
    """A new browser's page at the server's address, the binary frames it gets and what it complains of."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    frames: list[bytes] = []
    errors: list[str] = []

    def listen(socket: Any) -> None:
        socket.on("framereceived", lambda data: frames.append(data) if isinstance(data, bytes) else None)

    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 950})
        page.on("websocket", listen)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(str(server.http.base_url))
        page.wait_for_function(
            "window.app?.graph?._nodes?.some(n => n.type === 'PatchDownsample')", timeout=WAIT
        )
        yield page, frames, errors
        browser.close()


def outputs_of_new(page: Any, class_type: str) -> list[str]:
    """The names of the outputs of a node that the editor makes now."""
    names: list[str] = page.evaluate(
        f"window.LiteGraph.createNode('{class_type}').outputs.map(output => output.name)"
    )
    return names


def test_a_newcomer_presses_run_and_sees_a_picture(server: Server, tmp_path: Path) -> None:
    with opened(server) as (page, frames, errors):
        saved = page.evaluate("JSON.stringify(window.app.graph.serialize())")
        widgets = page.evaluate(
            "window.app.graph._nodes.find(n => n.type === 'LoadImage').widgets.map(w => [w.name, w.value])"
        )
        # As in ComfyUI's files, the button's value follows the picture's; what ComfyUI lacks comes behind.
        assert widgets[:4] == [
            ["image", "images/fox.png"],
            ["upload", "image"],
            ["background", "none"],
            ["frames", "all"],
        ]
        assert outputs_of_new(page, "SaveImage") == ["images", "path", "paths"]
        page.evaluate("window.app.refreshComboInNodes()")  # registers all nodes again
        assert outputs_of_new(page, "SaveImage") == ["images", "path", "paths"]
        page.get_by_test_id("queue-button").click()
        entry = waited(lambda: list(server.get("/history").json().values()), 60)[0]
        assert entry["status"]["status_str"] == "success", entry["status"]
        page.wait_for_function(
            "window.app.graph._nodes.find(n => n.type === 'SaveImage').imgs?.length", timeout=WAIT
        )
        assert not errors
    picture = first_picture(server, entry)
    jpegs = [frame[frame.index(b"\xff\xd8") :] for frame in frames if b"\xff\xd8" in frame]
    assert jpegs, "no preview was sent"
    last = Image.open(io.BytesIO(jpegs[-1]))
    assert last.size == picture.size
    assert _difference(last, picture) < 40  # of 255: it shows the same thing
    path = tmp_path / "from_editor.json"
    path.write_text(saved)
    validated = subprocess.run([*command(), str(path), "--validate"], cwd=WORKFLOWS, capture_output=True)
    assert validated.returncode == 0, validated.stderr
    assert json.loads(picture.info["prompt"]).keys() == entry["prompt"][2].keys()
    assert json.loads(picture.info["workflow"])["nodes"]


def test_the_shipped_workflows_are_its_templates(server: Server) -> None:
    [group] = server.get("/templates/index.json").json()
    names = [template["name"] for template in group["templates"]]
    assert names == ["redux", "redux_modes", "text_to_image", "two_references"]
    for name in names:
        document = server.get(f"/templates/{name}.json").json()
        asked = document["extra"]["linearData"]
        ids = {node["id"] for node in document["nodes"]}
        assert asked["outputs"]
        assert {node_id for node_id, _ in asked["inputs"]} | set(asked["outputs"]) <= ids
        assert b"<svg" in server.get(f"/templates/{name}-1.svg").content
    assert server.get("/templates/..%2Fredux.json").status_code == 404
    assert server.get("/templates/other.json").status_code == 404


def test_only_a_new_browser_is_led_to_the_first_workflow(server: Server) -> None:
    first = server.get("/")
    assert first.status_code == 302
    assert first.headers["location"] == "/?template=redux"
    assert server.get("/").status_code == 200  # the cookie says so
    [script] = server.get("/api/extensions").json()
    assert server.get(script).headers["content-type"].startswith("text/javascript")
    assert server.get("/user.css").headers["content-type"].startswith("text/css")


def _difference(one: Image.Image, other: Image.Image) -> float:
    small = [np.asarray(each.convert("RGB").resize((12, 12)), float) for each in (one, other)]
    return float(np.abs(small[0] - small[1]).mean())
