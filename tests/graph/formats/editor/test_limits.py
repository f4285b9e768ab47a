"""Whatever an editor file says, reading it ends soon in bounded memory, with nodes or a clear fault."""

import json
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from editor_samples import SCHEMAS, file, node, slot, subgraph, with_subgraphs

from run_graph.graph import Fault, WorkflowError, parse_workflow
from run_graph.graph.formats.editor.conversion import convert
from run_graph.graph.formats.editor.reading import MAXIMUM_ID
from run_graph.graph.formats.editor.scopes import MAXIMUM_EXPANDED, MAXIMUM_NESTING

SECONDS, BYTES = 20, 300 * 2**20


@contextmanager
def in_time() -> Iterator[None]:
    started = time.process_time()
    yield
    assert time.process_time() - started < SECONDS


@contextmanager
def in_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < BYTES


def fault(written: dict[str, Any]) -> Fault:
    with in_time(), in_memory(), pytest.raises(WorkflowError) as caught:
        convert(written, SCHEMAS)
    [found] = caught.value.faults
    assert found.message
    assert found.fix
    return found


def nested(levels: int, times: int = 1, inside: Any = ()) -> dict[str, Any]:
    """A file with an instance of a subgraph with instances of a subgraph, and so on."""
    last = str(levels)
    definitions = [
        subgraph(str(level), [node(100 + each, str(level + 1)) for each in range(times)], [])
        for level in range(1, levels)
    ]
    return with_subgraphs(file([node(1, "1")]), *definitions, subgraph(last, list(inside), []))


def test_a_subgraph_that_contains_itself() -> None:
    found = fault(with_subgraphs(file([node(5, "s")]), subgraph("s", [node(9, "s")], [])))
    assert (found.code, found.node_id) == ("subgraph_cycle", "5:9")
    assert "the subgraph 'subgraph s' contains itself" in found.message


def test_subgraphs_that_contain_each_other() -> None:
    one, two = subgraph("a", [node(11, "b")], []), subgraph("b", [node(12, "a")], [])
    assert fault(with_subgraphs(file([node(5, "a")]), one, two)).node_id == "5:11:12"


@pytest.mark.parametrize("mode", [2, 4])
def test_a_subgraph_in_itself_that_is_not_used_does_no_harm(mode: int) -> None:
    nodes = [
        node(1, "PrimitiveNode", values=[1]),
        node(5, "s", [slot("seed", "INT", 1, "seed")], mode=mode),
        node(6, "EmptyLatentImage"),
    ]
    inner = subgraph(
        "s", [node(9, "s", [slot("seed", "INT", 2)])], [[2, -10, 0, 9, 0, "INT"]], [("seed", "INT", [2])]
    )
    written = with_subgraphs(file(nodes, [[1, 1, 0, 5, 0, "INT"]]), inner)
    with in_time():
        assert list(convert(written, SCHEMAS).nodes) == ["6"]


def test_deep_nesting() -> None:
    inside = [node(500, "EmptyLatentImage")]
    with in_time():
        assert len(convert(nested(MAXIMUM_NESTING - 1, inside=inside), SCHEMAS).nodes) == 1
    assert fault(nested(1000)).code == "subgraph_too_deep"


def test_widgets_shown_through_deep_nesting() -> None:
    levels = MAXIMUM_NESTING - 1
    port = [("width", "INT", [1])]
    definitions = [
        subgraph(
            str(level),
            [node(100 + level, str(level + 1), [slot("width", "INT", 1, "width")])],
            [[1, -10, 0, 100 + level, 0, "INT"]],
            port,
        )
        for level in range(1, levels)
    ]
    size = node(500, "EmptyLatentImage", [slot("width", "INT", 1, "width")], values=[640])
    last = subgraph(str(levels), [size], [[1, -10, 0, 500, 0, "INT"]], port)
    outside = node(1, "1", [slot("width", "INT", None, "width")], values=[768])
    with in_time():
        [found] = convert(with_subgraphs(file([outside]), *definitions, last), SCHEMAS).nodes.values()
    assert found["inputs"]["width"] == 768


def test_a_small_file_that_means_billions_of_nodes() -> None:
    found = fault(nested(12, times=10, inside=[node(500, "EmptyLatentImage")]))
    assert found.code == "too_many_nodes"
    assert f"{MAXIMUM_EXPANDED:,}" in found.message


def test_a_large_value_in_many_instances() -> None:
    inner = subgraph("s", [node(900, "EmptyLatentImage", values=[list(range(1000))])], [])
    written = with_subgraphs(file([node(each, "s") for each in range(5000)]), inner)
    assert fault(written).code == "too_many_nodes"


def test_a_long_id() -> None:
    assert fault(file([node(1, "EmptyLatentImage", id="x" * (MAXIMUM_ID + 1))])).code == "bad_id"


@pytest.mark.parametrize("kind", ["Reroute", "SetNode"])
def test_reroutes_in_a_circle(kind: str) -> None:
    nodes = [
        node(2, kind, [slot("", "*", 2)]),
        node(3, kind, [slot("", "*", 1)], title="there"),
        node(4, "VAEDecode", [slot("samples", "LATENT", 3)]),
    ]
    found = fault(file(nodes, [[1, 2, 0, 3, 0, "*"], [2, 3, 0, 2, 0, "*"], [3, 3, 0, 4, 0, "*"]]))
    assert (found.code, found.node_id, found.class_type) == ("link_cycle", "3", kind)
    assert "('there')" in found.message


def test_bypassed_nodes_in_a_circle() -> None:
    latent = [{"name": "LATENT", "type": "LATENT"}]
    nodes = [
        node(each, "RepeatLatentBatch", [slot("samples", "LATENT", each)], mode=4, outputs=latent)
        for each in (1, 2)
    ]
    links = [[1, 2, 0, 1, 0, "LATENT"], [2, 1, 0, 2, 0, "LATENT"], [3, 2, 0, 3, 0, "LATENT"]]
    written = file([*nodes, node(3, "VAEDecode", [slot("samples", "LATENT", 3)])], links)
    assert fault(written).code == "link_cycle"


def chain(count: int, make: Callable[[int], dict[str, Any]]) -> dict[str, Any]:
    """A latent behind so many nodes in a row, read by as many nodes, each at another place of the row."""
    first = node(1, "EmptyLatentImage", outputs=[{"name": "LATENT", "type": "LATENT"}])
    row = [make(number) for number in range(2, count + 2)]
    readers = [
        node(count + number, "VAEDecode", [slot("samples", "LATENT", count + number)])
        for number in range(2, count + 2)
    ]
    links = [[number, number - 1, 0, number, 0, "LATENT"] for number in range(2, count + 2)]
    links += [[count + number, number, 0, count + number, 0, "LATENT"] for number in range(2, count + 2)]
    return file([first, *row, *readers], links)


def reroute(number: int) -> dict[str, Any]:
    return node(number, "Reroute", [slot("", "*", number)])


def bypassed(number: int) -> dict[str, Any]:
    outputs = [{"name": "LATENT", "type": "LATENT"}]
    return node(number, "RepeatLatentBatch", [slot("samples", "LATENT", number)], mode=4, outputs=outputs)


@pytest.mark.parametrize("make", [reroute, bypassed])
def test_long_chains_take_time_in_proportion_to_their_length(make: Callable[[int], dict[str, Any]]) -> None:
    with in_time():
        found = convert(chain(10_000, make), SCHEMAS)
    assert len(found.nodes) == 10_001
    assert all(
        spec["inputs"] == {"samples": ["1", 0]} for node_id, spec in found.nodes.items() if node_id != "1"
    )


def test_a_huge_table_of_links() -> None:
    links = [[number, 1, 0, 2, number, "LATENT"] for number in range(100_000)]
    with in_time():
        assert list(convert(file([node(1, "EmptyLatentImage"), node(2, "NoSuchNode")], links), SCHEMAS).nodes)


def test_many_primitives_names_and_shown_widgets() -> None:
    count = 5000
    primitives = [node(number, "PrimitiveNode", values=[number]) for number in range(count)]
    setters = [node(count + number, "SetNode", values=[f"name {number}"]) for number in range(count)]
    getters = [node(2 * count + number, "GetNode", values=[f"name {number}"]) for number in range(count)]
    readers = [
        node(
            3 * count + number,
            "KSampler",
            [slot("latent_image", "LATENT", count + number), slot("seed", "INT", number, "seed")],
        )
        for number in range(count)
    ]
    links = [[number, number, 0, 3 * count + number, 1, "INT"] for number in range(count)]
    links += [
        [count + number, 2 * count + number, 0, 3 * count + number, 0, "LATENT"] for number in range(count)
    ]
    inner = subgraph("s", [node(90_000 + number, "EmptyLatentImage") for number in range(count)], [])
    shown = [[str(90_000 + number), "width"] for number in range(count)]
    instance = node(80_000, "s", properties={"proxyWidgets": shown}, values=list(range(count)))
    with in_time():
        found = convert(
            with_subgraphs(file([*primitives, *setters, *getters, *readers, instance], links), inner), SCHEMAS
        ).nodes
    assert [found[f"80000:{90_000 + number}"]["inputs"]["width"] for number in range(count)] == list(
        range(count)
    )
    assert [found[str(3 * count + number)]["inputs"]["seed"] for number in range(count)] == list(range(count))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{a|" * 50_000 + "}" * 50_000, "a"),
        ("/* " * 100_000, "/* " * 100_000),
        ("/* " * 100_000 + "*/ b", " b"),
        ("//" * 100_000, ""),
        ("%a." * 100_000, "%a." * 100_000),
    ],
    ids=["choices", "open comments", "one comment", "lines", "tokens"],
)
def test_long_texts(text: str, expected: str) -> None:
    prefix = node(2, "SaveImage", values=["x" + text])
    with in_time():
        found = convert(file([node(1, "CLIPTextEncode", values=[text]), prefix]), SCHEMAS).nodes
    assert found["1"]["inputs"]["text"] == expected
    assert len(found["2"]["inputs"]["filename_prefix"]) > len(text) / 2


def test_a_long_name_of_a_shown_widget() -> None:
    inner = subgraph("s", [node(21, "EmptyLatentImage")], [])
    shown = [["21", "1 : " * 100_000 + "width"], ["21", "1 " * 100_000]]
    instance = node(1, "s", properties={"proxyWidgets": shown}, values=[640, 7])
    with in_time():
        found = convert(with_subgraphs(file([instance]), inner), SCHEMAS).nodes["1:21"]["inputs"]
    assert found["width"] == 640


def test_many_instances_of_a_group_node_with_many_widgets() -> None:
    group = {"nodes": [node(-1, "EmptyLatentImage") for _ in range(1000)], "links": []}
    instances = [node(number, "workflow>G") for number in range(1000)]
    assert fault(file(instances, extra={"groupNodes": {"G": group}})).code == "too_many_nodes"


def test_a_bypassed_node_with_many_inputs_that_many_nodes_read() -> None:
    outputs = [{"name": "o", "type": f"out {number}"} for number in range(3000)]
    slots = [slot(f"i{number}", f"in {number}") for number in range(1000)]
    readers = [node(10 + number, "A", [slot("x", f"other {number}", number)]) for number in range(3000)]
    links = [[number, 1, number, 10 + number, 0, "x"] for number in range(3000)]
    with in_time():
        found = convert(file([node(1, "B", slots, mode=4, outputs=outputs), *readers], links), SCHEMAS).nodes
    assert len(found) == 3000
    assert fault(file([node(1, "B", [*slots, slots[0]])])).code == "too_many_inputs"


@pytest.mark.parametrize(
    ("written", "code", "part"),
    [
        ({"nodes": [5]}, "not_a_node", "entry 0 of the nodes is not an object"),
        ({"nodes": [{"type": "A"}]}, "not_a_node", "entry 0 of the nodes has no id"),
        ({"nodes": [{"id": 3}]}, "not_a_node", "the node has no type"),
        ({"nodes": [{"id": 1.5, "type": "A"}]}, "not_a_node", "has no id"),
        ({"nodes": [], "links": [[1, 2]]}, "bad_link", "entry 0 of the links"),
        ({"nodes": [], "links": [[1, 2, -1, 3, 0]]}, "bad_link", "entry 0 of the links"),
        ({"nodes": [], "links": [7]}, "bad_link", "entry 0 of the links"),
        ({"nodes": [], "definitions": {"subgraphs": [{}]}}, "bad_subgraph", "entry 0"),
        ({"nodes": [], "extra": {"groupNodes": {"G": {}}}}, "bad_group_node", "'G'"),
    ],
)
def test_what_cannot_be_understood_is_named(written: dict[str, Any], code: str, part: str) -> None:
    found = fault(written)
    assert found.code == code
    assert part in found.message


def test_a_link_from_a_node_that_does_not_exist_is_named_with_the_node_that_has_it() -> None:
    written = file([node(4, "VAEDecode", [slot("samples", "LATENT", 3)])], [[3, 77, 0, 4, 0, "LATENT"]])
    found = fault(written)
    assert (found.code, found.node_id) == ("bad_link", "4")
    assert "it is linked to node '77', which does not exist" in found.message


@pytest.mark.parametrize("value", [[[[]]] * 3, {"a": {"b": [1]}}], ids=["lists", "objects"])
def test_odd_values_of_widgets_are_kept(value: Any) -> None:
    found = convert(file([node(1, "EmptyLatentImage", values=[value])]), SCHEMAS).nodes["1"]["inputs"]
    assert found["width"] == ({"__value__": value} if isinstance(value, list) else value)


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("value", ["\ud800", deep(100)], ids=["half a character", "deep"])
def test_values_that_the_api_format_refuses_are_refused_at_their_node(value: Any) -> None:
    text = json.dumps(file([node(1, "SaveImage", values=[value])]))
    with in_time(), pytest.raises(WorkflowError) as caught:
        parse_workflow(text)
    [found] = caught.value.faults
    assert (found.code, found.node_id) == ("invalid_json", "1")
