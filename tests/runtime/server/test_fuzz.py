"""Whatever is sent to whatever endpoint, the answer is never an error of the server's own.

``RUN_GRAPH_FUZZ=20`` sends 20 times as much.
"""

import json
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import Server, light

MORE = int(os.environ.get("RUN_GRAPH_FUZZ", "1"))
TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["../../etc/passwd", "/etc/passwd", "x\0y", "%2e%2e/x", "a" * 300, "\ud800", "", ".", "..", "~", "-1"]
    ),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**70), 2**70),
        st.floats(allow_nan=False, allow_infinity=False),
        TEXTS,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=8,
)
GETS = (
    *(
        "/prompt",
        "/queue",
        "/history",
        "/history/{}",
        "/object_info/{}",
        "/view",
        "/system_stats",
        "/features",
    ),
    *(
        "/embeddings",
        "/models",
        "/models/{}",
        "/extensions",
        "/users",
        "/settings",
        "/settings/{}",
        "/userdata",
    ),
    *(
        "/userdata/{}",
        "/v2/userdata",
        "/i18n",
        "/api/jobs",
        "/api/jobs/{}",
        "/internal/logs",
        "/internal/logs/raw",
    ),
    *("/internal/files/{}", "/internal/folder_paths", "/view_metadata/{}", "/experiment/models/{}", "/{}"),
)
POSTS = (
    *("/prompt", "/queue", "/interrupt", "/history", "/free", "/settings", "/settings/{}", "/upload/image"),
    *("/upload/mask", "/api/jobs/cancel", "/api/jobs/{}/cancel", "/userdata/{}", "/userdata/{}/move/{}"),
)
QUERY = st.dictionaries(
    st.sampled_from(
        [
            *("filename", "subfolder", "type", "preview", "channel", "dir", "path", "recurse", "split"),
            *("full_info", "overwrite", "max_items", "offset", "limit", "status", "sort_by", "sort_order"),
            "workflow_id",
        ]
    ),
    st.one_of(TEXTS, st.integers(-5, 2**70).map(str)),
    max_size=4,
)
FIELDS = ("prompt", "client_id", "prompt_id", "number", "front", "extra_data", "delete", "clear", "job_ids")
quick = settings(
    max_examples=60 * MORE, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def address(template: str, names: list[str]) -> str:
    from urllib.parse import quote

    while "{}" in template:
        template = template.replace("{}", quote(names.pop().encode("utf-8", "replace"), safe=""), 1)
    return template


def query_of(query: dict[str, str]) -> dict[str, str]:
    return {name: value.encode("utf-8", "replace").decode() for name, value in query.items()}


def check(server: Server, answer: Any) -> None:
    assert answer.status_code < 500, answer.text
    assert b"Traceback" not in answer.content
    assert b"root:x:" not in answer.content


@pytest.mark.parametrize("template", GETS)
@given(names=st.lists(TEXTS, min_size=2, max_size=2), query=QUERY)
@settings(quick, max_examples=12 * MORE)
def test_asking(server: Server, template: str, names: list[str], query: dict[str, str]) -> None:
    check(server, server.http.get(address(template, names), params=query_of(query)))


@pytest.mark.parametrize("template", POSTS)
@given(
    names=st.lists(TEXTS, min_size=2, max_size=2),
    query=QUERY,
    body=st.one_of(
        st.binary(max_size=40),
        VALUES.map(lambda value: json.dumps(value).encode()),
        st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=4).map(
            lambda value: json.dumps(value).encode()
        ),
    ),
)
@settings(quick, max_examples=20 * MORE)
def test_sending(server: Server, template: str, names: list[str], query: dict[str, str], body: bytes) -> None:
    if template == "/userdata/{}" and names[-1] in (".", ".."):
        return
    check(server, server.http.post(address(template, names), params=query_of(query), content=body))


@given(
    name=st.binary(max_size=30).filter(lambda name: not set(name) & set(b'\r\n"')),
    fields=st.dictionaries(
        st.sampled_from(["type", "subfolder", "overwrite", "original_ref"]), TEXTS, max_size=3
    ),
    content=st.binary(max_size=40),
    route=st.sampled_from(["/upload/image", "/upload/mask"]),
)
@quick
def test_uploading(server: Server, name: bytes, fields: dict[str, str], content: bytes, route: str) -> None:
    parts = [
        b'--B\r\nContent-Disposition: form-data; name="image"; filename="' + name + b'"\r\n\r\n' + content
    ]
    for key, value in fields.items():
        head = f'--B\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n'.encode()
        parts.append(head + value.encode("utf-8", "replace"))
    body = b"\r\n".join([*parts, b"--B--\r\n"])
    headers = {"content-type": "multipart/form-data; boundary=B"}
    check(server, server.http.post(route, content=body, headers=headers))


@given(
    node=st.sampled_from(["1", "2", "3", "9"]),
    key=st.sampled_from(["image", "width", "crop", "filename_prefix", "new", "images"]),
    value=VALUES,
    meta=VALUES,
)
@quick
def test_changed_prompts(server: Server, node: str, key: str, value: Any, meta: Any) -> None:
    graph = light("no such picture.png", prefix="fuzz")
    graph[node]["inputs"][key] = value
    graph[node]["_meta"] = meta
    body = json.dumps({"prompt": graph, "extra_data": {"extra_pnginfo": {"workflow": meta}}}).encode()
    answer = server.http.post("/prompt", content=body)
    check(server, answer)
    assert answer.json().keys() >= {"node_errors"}


def test_the_server_is_well_afterwards(server: Server) -> None:
    server.run(light(server.picture()))
    assert "Traceback" not in server.log, server.log[-3000:]
