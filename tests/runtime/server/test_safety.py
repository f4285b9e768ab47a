"""Nobody's page, no path and no prompt gets further than it should."""

import io
import os
import socket
import uuid
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from server_process import Server, light, png
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

SECRET = b"root:x:0:0"


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture and a model's file that no prompt may read."""
    folder = tmp_path_factory.mktemp("outside")
    (folder / "secret.png").write_bytes(png())
    (folder / "model_index.json").write_text("{}")
    return folder


def text(value: str) -> dict[str, Any]:
    return {"class_type": "PrimitiveString", "inputs": {"value": value}}


def node_errors(server: Server, graph: dict[str, Any]) -> str:
    answer = server.post("/prompt", {"prompt": graph})
    assert answer.status_code == 400, answer.text
    return str(answer.json()["node_errors"])


@pytest.mark.parametrize("suffix", ["", " [output]", " [temp]", " [input]"])
def test_no_picture_is_read_outside(server: Server, outside: Path, suffix: str) -> None:
    up = os.path.relpath(outside, server.folder / "input")
    for name in (str(outside / "secret.png"), f"{up}/secret.png", "~/secret.png", "nothing/../../../x.png"):
        for class_type in ("LoadImage", "LoadImageMask", "LoadImageOutput"):
            graph = light(name + suffix)
            graph["1"]["class_type"] = class_type
            if class_type == "LoadImageMask":
                graph = {"1": graph["1"], "9": {"class_type": "MaskPreview", "inputs": {"mask": ["1", 0]}}}
                graph["1"]["inputs"]["channel"] = "red"
            # To LoadImageOutput ~ is a name within the output folder, where no such file is.
            within = class_type == "LoadImageOutput" and name.startswith("~")
            told = "no file" if within else "outside the server's folders"
            assert told in node_errors(server, graph)


def test_whether_a_file_exists_outside_is_not_told(server: Server, outside: Path) -> None:
    there, absent = (node_errors(server, light(str(outside / name))) for name in ("secret.png", "absent.png"))
    assert there.replace("secret", "absent") == absent


def test_no_link_leads_outside(server: Server, outside: Path) -> None:
    (server.folder / "input" / "door").symlink_to(outside)
    (server.folder / "output" / "door").symlink_to(outside)
    assert "outside" in node_errors(server, light("door/secret.png"))
    graph = light(server.picture(), prefix="door/x")
    assert "outside" in node_errors(server, graph)
    for kind in ("input", "output"):
        query = {"filename": "secret.png", "subfolder": "door", "type": kind}
        assert server.get("/view", params=query).status_code in (403, 404)
    answer = server.http.post(
        "/upload/image", files={"image": ("x.png", png(), "image/png")}, data={"subfolder": "door"}
    )
    assert answer.status_code == 400
    assert sorted(path.name for path in outside.iterdir()) == ["model_index.json", "secret.png"]
    for kind in ("input", "output"):
        (server.folder / kind / "door").unlink()


def test_a_name_that_a_link_delivers_is_held_to_the_same_bounds(server: Server, outside: Path) -> None:
    picture = {**light("x"), "1": {"class_type": "LoadImage", "inputs": {"image": ["name", 0]}}}
    prefix = light(server.picture())
    prefix["9"]["inputs"]["filename_prefix"] = ["name", 0]
    model = {
        "1": {"class_type": "LoadFlux", "inputs": {"model": ["name", 0]}},
        "2": {"class_type": "TextEncode", "inputs": {"text_encoders": ["1", 1], "prompt": "a"}},
        "9": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
    }
    for graph in (picture, prefix, model):
        for name in (str(outside / "secret.png"), "../../escape"):
            entry = server.result(server.queue({**graph, "name": text(name)}))
            assert entry["status"]["status_str"] == "error", name
            assert "outside" in entry["status"]["messages"][-1][1]["exception_message"], name


@pytest.mark.parametrize(
    ("class_type", "name"),
    [("LoadFlux", "model"), ("UNETLoader", "unet_name"), ("CheckpointLoaderSimple", "ckpt_name")],
)
def test_no_model_is_read_or_downloaded_that_nobody_allowed(
    server: Server, outside: Path, class_type: str, name: str
) -> None:
    def graph(model: str) -> dict[str, Any]:
        load = {"class_type": class_type, "inputs": {name: model}}
        if class_type == "UNETLoader":
            load["inputs"]["weight_dtype"] = "default"
        return {"1": load, "9": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}}}

    for model in (str(outside), "../outside", "~/models", "/etc"):
        assert "outside the server's folders of models" in node_errors(server, graph(model))
    assert "--allow-downloads" in node_errors(server, graph("somebody/some-model"))


def test_no_lora_is_read_or_downloaded_that_nobody_allowed(server: Server, outside: Path) -> None:
    (outside / "x.safetensors").write_bytes(b"x")
    for lora in (
        str(outside / "x.safetensors"),
        "../x.safetensors",
        "somebody/lora",
        "hf:somebody/lora/x.safetensors",
    ):
        graph = {
            "1": {"class_type": "LoadFlux", "inputs": {"model": "tiny"}},
            "2": {
                "class_type": "LoraLoaderModelOnly",
                "inputs": {"model": ["1", 0], "lora_name": lora, "strength_model": 1.0},
            },
            "9": {"class_type": "PreviewAny", "inputs": {"source": ["2", 0]}},
        }
        assert "custom_validation_failed" in node_errors(server, graph), lora
    (outside / "x.safetensors").unlink()


PATHS = (
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2fetc%2fpasswd",
    "....//etc/passwd",
    "x%00.png",
    "..%5c..%5cetc%5cpasswd",
)


@pytest.mark.parametrize("path", PATHS)
def test_no_endpoint_reads_outside(server: Server, path: str) -> None:
    base = str(server.http.base_url).rstrip("/")
    for address in (
        f"/view?filename={path}",
        f"/view?filename=passwd&subfolder={path}",
        f"/userdata/{path}",
        f"/userdata?dir={path}",
        f"/v2/userdata?path={path}",
        f"/view_metadata/loras?filename={path}",
        f"/models/{path}",
        f"/internal/files/{path}",
        f"/object_info/{path}",
        f"/{path}",
    ):
        answer = server.http.get(base + address)
        assert SECRET not in answer.content
        assert answer.status_code < 500, address


def test_pages_of_others_are_refused(server: Server) -> None:
    own = str(server.http.base_url).rstrip("/")
    for headers, status in (
        ({}, 200),
        ({"origin": own}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"host": "evil.example"}, 403),
        ({"host": "evil.example", "origin": "http://evil.example"}, 403),
        ({"host": "localhost:1"}, 200),
        ({"host": "a:b:c"}, 403),
    ):
        answer = server.get("/queue", headers=headers)
        assert answer.status_code == status, headers
        assert "access-control-allow-origin" not in answer.headers
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{own.replace('http', 'ws')}/ws", origin="http://evil.example", proxy=None)  # type: ignore[arg-type]
    assert refused.value.response.status_code == 403


def test_active_content_is_never_a_page(server: Server) -> None:
    for name in ("x.html", "x.svg", "x.js", "X.HTML"):
        server.upload(b"<script>alert(1)</script>", name, overwrite="true")
        answer = server.get("/view", params={"filename": name, "type": "input"})
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment")
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_what_is_too_large_is_refused(server: Server) -> None:
    limit = server.get("/features").json()["max_upload_size"]
    url = server.http.base_url
    with socket.create_connection((url.host, url.port)) as raw:
        head = f"POST /prompt HTTP/1.1\r\nHost: {url.host}\r\nContent-Length: {limit + 1}\r\n\r\n"
        raw.sendall(head.encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_secrets_of_clients_are_not_kept(server: Server) -> None:
    secret = uuid.uuid4().hex
    entry = server.run(
        light(server.picture()), extra_data={"api_key_comfy_org": secret, "auth_token_comfy_org": secret}
    )
    assert secret not in str(entry)
    kept = b"".join(path.read_bytes() for path in (server.folder / "user").iterdir() if path.is_file())
    assert secret.encode() not in kept
    assert secret not in server.log


def test_a_huge_picture_is_refused_in_a_small_file(server: Server) -> None:
    buffer = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(buffer, "PNG")
    name = server.upload(buffer.getvalue(), "bomb.png", overwrite="true")["name"]
    answer = server.get("/view", params={"filename": name, "type": "input", "preview": "webp;50"})
    assert answer.status_code == 400
    assert server.result(server.queue(light(name)))["status"]["status_str"] == "error"


def test_a_token_lets_in_and_nothing_else_does(tmp_path: Path) -> None:
    with Server(tmp_path, "--token", "s3cret", "--listen", "0.0.0.0") as server:
        assert "s3cret" not in server.log
        assert server.get("/queue").status_code == 401
        assert server.get("/queue", headers={"authorization": "Bearer wrong"}).status_code == 401
        assert server.get("/queue", headers={"authorization": "Bearer s3cret"}).status_code == 200
        assert server.get("/queue", headers={"host": "evil.example"}).status_code == 403
        page = server.get("/?token=s3cret&x=1")
        assert (page.status_code, page.headers["location"]) == (303, "/?x=1")
        assert server.get("/queue").status_code == 200, "the cookie"
        assert "HttpOnly" in page.headers["set-cookie"]
        with pytest.raises(InvalidStatus), server.listening("nobody"):
            pass
