"""What clients of ComfyUI lean on: the answers, the messages of a run in their order, the errors."""

import io
import json
import uuid
from typing import Any

import numpy as np
import pytest
from PIL import Image
from server_process import Server, first_picture, light, png, slow, waited


def error_of(server: Server, document: Any, status: int = 400) -> dict[str, Any]:
    answer = server.post("/prompt", document)
    assert answer.status_code == status, answer.text
    body: dict[str, Any] = answer.json()
    assert body["error"].keys() == {"type", "message", "details", "extra_info"}
    return body


def test_a_prompt_makes_a_picture_that_carries_prompt_and_workflow(server: Server) -> None:
    workflow = {"id": "abc", "nodes": [], "note": "你好"}
    graph = light(server.picture((200, 100, 0)), "folder/with spaces ü")
    entry = server.run(graph, extra_data={"extra_pnginfo": {"workflow": workflow}, "mine": 1})

    [shown] = entry["outputs"]["9"]["images"]
    assert shown == {"filename": "with spaces ü_00001_.png", "subfolder": "folder", "type": "output"}
    picture = first_picture(server, entry)
    assert picture.size == (64, 48)
    assert np.allclose(picture.getpixel((30, 20)), (55, 155, 255), atol=1)
    assert json.loads(picture.text["workflow"]) == workflow  # type: ignore[attr-defined]
    assert json.loads(picture.text["prompt"]).keys() == graph.keys()  # type: ignore[attr-defined]
    assert entry["prompt"][3]["mine"] == 1
    assert entry["prompt"][4] == ["9"]
    assert entry["meta"]["9"] == {
        "node_id": "9",
        "display_node": "9",
        "parent_node": None,
        "real_node_id": "9",
    }


def test_a_run_is_told_in_comfyuis_order(server: Server) -> None:
    with server.listening("me") as listener:
        first = listener.until(lambda message: message["type"] == "status")[0]
        assert first["data"] == {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "me"}
        prompt_id = server.queue(light(server.picture((1, 2, 3))), client_id="me")
        heard = listener.until_done(prompt_id)

        assert listener.kinds(prompt_id) == [
            "execution_start",
            "execution_cached",
            *["executing"] * 4,
            "executed",
            "execution_success",
            "executing",
        ]
        remaining = [
            message["data"]["status"]["exec_info"]["queue_remaining"]
            for message in heard
            if message["type"] == "status"
        ]
        assert remaining == [0, 1, 1, 0]
        states = [message["data"]["nodes"] for message in heard if message["type"] == "progress_state"]
        assert {node: state["state"] for node, state in states[-1].items()} == dict.fromkeys(
            "1239", "finished"
        )


def test_pictures_for_the_client_are_sent_as_png_each_time(server: Server) -> None:
    graph = light(server.picture((9, 9, 9)))
    graph["9"] = {"class_type": "SaveImageWebsocket", "inputs": {"images": ["3", 0]}}
    for flags, event in ((None, 1), ({"supports_preview_metadata": True}, 4)):
        with server.listening("pictures", flags) as listener:
            if flags:
                listener.until(lambda message: message["type"] == "feature_flags")
            heard = listener.until_done(server.queue(graph, client_id="pictures"))
            [frame] = [message["data"] for message in heard if message["type"] == "binary"]
            assert int.from_bytes(frame[:4]) == event
            start = 8 if event == 1 else 8 + int.from_bytes(frame[4:8])
            picture = Image.open(io.BytesIO(frame[start:]))
            assert (picture.format, picture.size) == ("PNG", (64, 48))


def test_a_latent_that_was_saved_is_not_saved_again(server: Server) -> None:
    empty = {"class_type": "EmptySD3LatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}}
    graph = {"1": empty, "9": {"class_type": "SaveLatent", "inputs": {"samples": ["1", 0]}}}
    graph["9"]["inputs"]["filename_prefix"] = "latents/x"
    first, second = server.run(graph), server.run(graph)
    assert first["outputs"] == second["outputs"]
    assert first["outputs"]["9"]["latents"][0]["filename"] == "x_00001_.latent"


def test_what_is_known_is_told_as_cached_and_shown_again(server: Server) -> None:
    graph = light(server.picture())
    with server.listening("again") as listener:
        listener.until_done(server.queue(graph, client_id="again"))
        second = server.queue(graph, client_id="again")
        heard = listener.until_done(second)
        cached = [m["data"]["nodes"] for m in heard if m["type"] == "execution_cached"][-1]
        assert sorted(cached) == ["1", "2", "3", "9"]
        assert listener.kinds(second) == [
            "execution_start",
            "execution_cached",
            "executed",
            "execution_success",
            "executing",
        ]
        other = server.queue({**graph, "9": light("", "other")["9"]}, client_id="again")
        heard = listener.until_done(other)
        cached = [m["data"]["nodes"] for m in heard if m["type"] == "execution_cached"][-1]
        assert sorted(cached) == ["1", "2", "3"]


def test_history_is_there_when_success_is_told(server: Server) -> None:
    with server.listening("quick") as listener:
        for width in range(16, 26):
            prompt_id = server.queue(light(server.picture(), width=width), client_id="quick")
            listener.until(lambda message: message["type"] == "execution_success")
            assert prompt_id in server.get(f"/history/{prompt_id}").json()
            listener.until_done(prompt_id)


def test_a_broken_picture_fails_the_run_at_its_node(server: Server) -> None:
    name = server.upload(b"no picture", "broken.png", overwrite="true")["name"]
    with server.listening("failing") as listener:
        prompt_id = server.queue(light(name), client_id="failing")
        listener.until_done(prompt_id)
        assert listener.kinds(prompt_id) == [
            "execution_start",
            "execution_cached",
            "executing",
            "execution_error",
            "executing",
        ]
    status = server.result(prompt_id)["status"]
    assert (status["status_str"], status["completed"]) == ("error", False)
    kind, data = status["messages"][-1]
    assert (kind, data["node_id"], data["node_type"]) == ("execution_error", "1", "LoadImage")
    assert "broken.png" in data["exception_message"]
    assert server.get(f"/api/jobs/{prompt_id}").json()["status"] == "failed"


def test_an_interrupt_ends_the_run_and_the_next_one_goes_on(server: Server) -> None:
    with server.listening("stop") as listener:
        long = server.queue(slow(2000, seed=11), client_id="stop")
        listener.until(lambda message: message["type"] == "progress")
        following = server.queue(light(server.picture()))
        assert server.post("/interrupt", {"prompt_id": str(uuid.uuid4())}).status_code == 200
        assert server.post("/interrupt", {}).content == b""
        heard = listener.until_done(long, 10)
        assert "execution_interrupted" in listener.kinds(long)
        steps = [m["data"]["value"] for m in heard if m["type"] == "progress"]
        assert steps == sorted(steps)
    assert server.result(long)["status"]["messages"][-1][0] == "execution_interrupted"
    assert server.result(following)["status"]["status_str"] == "success"


def test_clients_hear_of_their_own_runs_only(server: Server) -> None:
    with server.listening("one") as one, server.listening("two") as two:
        first = server.queue(light(server.picture()), client_id="one")
        second = server.queue(light(server.picture()), client_id="two")
        one.until_done(first)
        two.until_done(second)
        assert not two.kinds(first)
        assert not one.kinds(second)


def test_a_socket_that_comes_back_hears_the_rest(server: Server) -> None:
    with server.listening("back") as before:
        prompt_id = server.queue(slow(60, seed=12), client_id="back")
        before.until(lambda message: message["type"] == "progress")
        with server.listening("back") as after:
            heard = after.until(lambda message: message["type"] == "executing")
            assert heard[-1]["data"] == {"node": "sample"}
            before._socket.close()  # the old socket ends after the new one has begun
            after.until_done(prompt_id)
            assert "execution_success" in after.kinds(prompt_id)


def test_prompts_run_by_their_numbers(server: Server) -> None:
    server.queue(slow(250, seed=13))
    numbers: list[dict[str, Any]] = [{}, {"number": 1e6}, {"front": True}, {"number": -1e6}]
    ids = [server.queue(light(server.picture()), **more) for more in numbers]
    pending = [item[1] for item in server.get("/queue").json()["queue_pending"]]
    for prompt_id in ids:
        server.result(prompt_id)
    ran = [prompt_id for prompt_id in server.get("/history").json() if prompt_id in ids]
    assert [ids.index(prompt_id) for prompt_id in ran] == [3, 2, 0, 1]
    assert [ids.index(prompt_id) for prompt_id in pending] == [3, 2, 0, 1]


def test_waiting_prompts_can_be_dropped(server: Server) -> None:
    running = server.queue(slow(120, seed=14))
    waited(lambda: server.get("/queue").json()["queue_running"])
    gone, kept = (server.queue(light(server.picture())) for _ in range(2))
    assert server.post("/queue", {"delete": [gone, running, "nothing"]}).status_code == 200
    assert server.result(kept)["status"]["completed"]
    assert server.result(running)["status"]["completed"]
    assert server.get(f"/history/{gone}").json() == {}


FAULTS: list[tuple[str, str, Any, str, str]] = [
    ("2", "width", 10**6, "value_bigger_than_max", "width"),
    ("2", "width", -1, "value_smaller_than_min", "width"),
    ("2", "width", "wide", "invalid_input_type", "width"),
    ("2", "width", None, "required_input_missing", "width"),
    ("2", "upscale_method", "zauber", "value_not_in_list", "'zauber' not in ['nearest-exact'"),
    ("3", "image", ["1", 1], "return_type_mismatch", "received_type(MASK) mismatch input_type(IMAGE)"),
    ("3", "image", ["2", 0, 0], "bad_linked_input", "image"),
    ("3", "image", ["404", 0], "bad_linked_input", "image"),
    ("3", "image", ["2", 9], "bad_linked_input", "image"),
    ("1", "image", "no such.png", "custom_validation_failed", "no such.png"),
    ("1", "image", "/etc/passwd", "custom_validation_failed", "outside the server's folders"),
    ("1", "image", "../../secret.png", "custom_validation_failed", "outside the server's folders"),
    ("9", "filename_prefix", "../escape", "custom_validation_failed", "outside the output folder"),
]


@pytest.mark.parametrize(("node", "name", "value", "kind", "details"), FAULTS)
def test_a_fault_is_told_as_comfyui_tells_it(
    server: Server, node: str, name: str, value: Any, kind: str, details: str
) -> None:
    graph = light(server.picture())
    graph[node]["inputs"][name] = value
    if value is None:
        del graph[node]["inputs"][name]
    body = error_of(server, {"prompt": graph})
    assert body["error"]["type"] == "prompt_outputs_failed_validation"
    found = body["node_errors"][node]
    assert (found["class_type"], found["dependent_outputs"]) == (graph[node]["class_type"], ["9"])
    [error] = found["errors"]
    assert error["type"] == kind
    assert details in error["details"]
    assert error["extra_info"]["input_name"] == name


def test_other_faults_have_comfyuis_names(server: Server) -> None:
    graph = light(server.picture())
    assert error_of(server, {})["error"]["type"] == "no_prompt"
    assert error_of(server, {"prompt": {}})["error"]["type"] == "prompt_no_outputs"
    assert error_of(server, {"prompt": graph, "prompt_id": "x"})["error"]["type"] == "invalid_prompt_id"
    unknown = {**graph, "77": {"class_type": "NoSuch", "inputs": {}, "_meta": {"title": "mine"}}}
    error = error_of(server, {"prompt": unknown})["error"]
    assert error["type"] == "missing_node_type"
    assert error["extra_info"] == {"node_id": "77", "class_type": "NoSuch", "node_title": "mine"}
    graph["2"]["inputs"]["image"] = ["3", 0]
    errors = error_of(server, {"prompt": graph})["node_errors"]
    assert errors["2"]["errors"][0]["type"] == "dependency_cycle"
    assert "->" in errors["2"]["errors"][0]["details"]


def test_the_good_part_of_a_prompt_runs(server: Server) -> None:
    graph = light(server.picture())
    graph["8"] = {"class_type": "ImageScale", "inputs": {**graph["2"]["inputs"], "width": -1}}
    graph["19"] = {"class_type": "PreviewImage", "inputs": {"images": ["8", 0]}}
    answer = server.post("/prompt", {"prompt": graph}).json()
    assert answer["node_errors"]["8"]["dependent_outputs"] == ["19"]
    assert server.result(answer["prompt_id"])["outputs"].keys() == {"9"}


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"null", b'{"prompt": 5}', b'{"prompt": {"1": null}}', b"\xff\xfe", b"[" * 5000],
)
def test_a_malformed_prompt_is_refused_in_comfyuis_form(server: Server, body: bytes) -> None:
    answer = server.http.post("/prompt", content=body)
    assert answer.status_code == 400
    assert answer.json().keys() == {"error", "node_errors"}


def test_the_same_prompt_under_the_same_id_is_accepted_once(server: Server) -> None:
    graph, prompt_id = light(server.picture()), str(uuid.uuid4())
    assert server.queue(graph, prompt_id=prompt_id) == prompt_id
    assert server.queue(graph, prompt_id=prompt_id) == prompt_id
    server.result(prompt_id)
    assert server.queue(graph, prompt_id=prompt_id) == prompt_id
    other = error_of(server, {"prompt": light(server.picture()), "prompt_id": prompt_id})
    assert other["error"]["type"] == "invalid_prompt_id"
    assert list(server.get("/history").json()).count(prompt_id) == 1


def test_uploads_are_never_mixed_and_are_offered_at_once(server: Server) -> None:
    name = f"{uuid.uuid4().hex}.png"
    contents = [png(colour=(each, 0, 0)) for each in range(4)]
    names = [server.upload(content, name)["name"] for content in [*contents, contents[2]]]
    assert names == [name, *(name.replace(".png", f" ({each}).png") for each in (1, 2, 3)), names[2]]
    for stored, content in zip(names, contents, strict=False):
        assert server.get("/view", params={"filename": stored, "type": "input"}).content == content
    offered = server.get("/object_info/LoadImage").json()["LoadImage"]["input"]["required"]["image"][0]
    assert set(names) <= set(offered)


def test_a_painted_mask_becomes_the_alpha_of_its_picture(server: Server) -> None:
    original = server.upload(png(colour=(10, 20, 30)), "masked.png")
    mask = png(colour=(0, 0, 0, 77), mode="RGBA")
    answer = server.http.post(
        "/upload/mask",
        files={"image": ("mask.png", mask, "image/png")},
        data={
            "original_ref": json.dumps({"filename": original["name"], "type": "input"}),
            "subfolder": "clip",
        },
    )
    stored = answer.json()
    assert stored == {"name": "mask.png", "subfolder": "clip", "type": "input"}
    picture = first_picture(server, {"outputs": {"": {"images": [{**stored, "filename": stored["name"]}]}}})
    assert picture.getpixel((3, 3)) == (10, 20, 30, 77)


def test_the_editors_files_and_settings_are_kept(server: Server) -> None:
    path = "/userdata/workflows%2Fmine.json"
    assert server.get(path).status_code == 404
    assert server.http.post(path, content=b"{}").json() == "workflows/mine.json"
    assert server.http.post(f"{path}?overwrite=false", content=b"x").status_code == 409
    assert server.get("/userdata?dir=workflows").json() == ["mine.json"]
    assert server.post(f"{path}/move/workflows%2Fother.json").json() == "workflows/other.json"
    assert server.http.delete("/userdata/workflows%2Fother.json").status_code == 204
    assert server.http.post("/settings/Some.Setting", content=b"[1]").status_code == 200
    assert server.get("/settings").json()["Some.Setting"] == [1]
    assert server.get("/settings/Not.There").json() is None


def test_features_are_exchanged_once(server: Server) -> None:
    features = server.get("/features").json()
    with server.listening("flags", {"supports_preview_metadata": True}) as listener:
        heard = listener.until(lambda message: message["type"] == "feature_flags")
        assert heard[-1]["data"] == features


def test_everything_is_under_api_too(server: Server) -> None:
    for path in ("/queue", "/object_info/SaveImage", "/models/loras", "/embeddings", "/users", "/i18n"):
        assert server.get(path).content == server.get(f"/api{path}").content
    assert server.get("/api/nothing").status_code == 404
    assert server.http.delete("/prompt").status_code == 405
