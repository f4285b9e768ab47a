"""Keys of results: equal exactly when the results must be equal, in every process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from engine import ENVIRONMENT, plan_keys, workflow
from sample_nodes import REGISTRY, Blur, Keep, Kept, LoadPhoto, SavePhoto, Scale

from run_graph.graph import Context, Environment, Field, Node, Registry, Workflow, WorkflowError
from run_graph.graph.fingerprint import canonical
from run_graph.graph.validation import check
from run_graph.runtime.engine.plan import make_plan

BASE = workflow(
    photo=(LoadPhoto, {"name": "fox.png"}),
    blur=(Blur, {"image": "@photo", "radius": 2}),
    save=(SavePhoto, {"image": "@blur"}),
)


def keys_of(
    given: Workflow, registry: Registry = REGISTRY, targets: Iterable[str] | None = None
) -> dict[str, str]:
    return plan_keys(make_plan(check(given, registry, targets), ENVIRONMENT))


def test_keys_are_64_hexadecimal_digits() -> None:
    for key in keys_of(BASE).values():
        assert len(key) == 64
        assert set(key) <= set("0123456789abcdef")


def test_ids_titles_and_orders_do_not_matter() -> None:
    document = {
        "3": {"inputs": {"prefix": "out", "image": ["2", "image"]}, "class_type": "SavePhoto"},
        "2": {"class_type": "Blur", "inputs": {"radius": 2.0, "image": ["1", 0]}, "_meta": {"title": "Soft"}},
        "1": {"class_type": "LoadPhoto", "inputs": {"name": "fox.png"}},
    }
    ours, theirs = keys_of(BASE), keys_of(Workflow.from_json(document))
    assert (ours["photo"], ours["blur"], ours["save"]) == (theirs["1"], theirs["2"], theirs["3"])


def test_writing_a_default_out_does_not_matter() -> None:
    assert keys_of(BASE.with_input("blur", "edge", "clamp")) == keys_of(BASE)
    assert keys_of(BASE.with_input("blur", "radius", 1)) == keys_of(
        workflow(
            photo=(LoadPhoto, {"name": "fox.png"}),
            blur=(Blur, {"image": "@photo"}),
            save=(SavePhoto, {"image": "@blur"}),
        )
    )


def test_the_value_of_a_literal_matters_and_its_spelling_does_not() -> None:
    assert keys_of(BASE.with_input("blur", "radius", "2")) == keys_of(BASE)
    assert keys_of(BASE.with_input("blur", "radius", 2.0)) == keys_of(BASE)
    assert keys_of(BASE.with_input("blur", "radius", 2.5)) != keys_of(BASE)


def test_a_change_affects_everything_downstream_and_nothing_else() -> None:
    before, after = keys_of(BASE), keys_of(BASE.with_input("blur", "radius", 3))
    assert {node_id for node_id in before if before[node_id] != after[node_id]} == {"blur", "save"}


def test_which_output_is_linked_matters() -> None:
    def scaled(slot: str) -> str:
        return keys_of(workflow(p=(LoadPhoto, {"name": "a"}), k=(Keep, {"value": slot})), targets=["k"])["k"]

    assert scaled("@p.image") != scaled("@p.mask")
    assert scaled("@p.mask") == scaled("@p.1")


def test_a_missing_link_and_a_link_have_different_keys() -> None:
    one = workflow(p=(LoadPhoto, {"name": "a"}), s=(Scale, {"image": "@p"}))
    two = workflow(p=(LoadPhoto, {"name": "a"}), s=(Scale, {"image": "@p", "mask": "@p.mask"}))
    assert keys_of(one, targets=["s"])["s"] != keys_of(two, targets=["s"])["s"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (0, False),
        ("1", 1),
        (None, "null"),
        ("", None),
        ([1], [1.0]),
        ({"a": 1}, [["a", 1]]),
    ],
)
def test_different_json_values_have_different_keys(one: Any, other: Any) -> None:
    def key(value: Any) -> str:
        return keys_of(workflow(k=(Keep, {"value": {"__value__": value}})))["k"]

    assert key(one) != key(other)


def test_a_literal_cannot_be_mistaken_for_a_link() -> None:
    """A literal that looks like the encoding of a link gets a different key."""
    linked = workflow(p=(LoadPhoto, {"name": "a"}), k=(Keep, {"value": "@p"}))
    keys = keys_of(linked)
    for forged in ({"link": [keys["p"], 0]}, [keys["p"], 0], keys["p"], f"{keys['p']}:0"):
        literal = workflow(k=(Keep, {"value": {"__value__": forged}}))
        assert keys_of(literal)["k"] != keys["k"]


def test_key_order_inside_a_literal_does_not_matter() -> None:
    assert (
        canonical({"b": [1, 2.5], "a": None})
        == canonical({"a": None, "b": [1, 2.5]})
        == '{"a":null,"b":[1,2.5]}'
    )
    assert canonical("füchse") == '"f\\u00fcchse"'


class Versioned(Node):
    """A node whose version can be increased."""

    is_output = True

    x: int = Field(default=1, description="A number.")

    def run(self, ctx: Context) -> Kept:
        return Kept(value=self.x)


def test_the_class_and_its_version_matter() -> None:
    class Raised(Versioned):
        class_type = "Versioned"
        version = 2

    class Renamed(Versioned):
        class_type = "Renamed"

    def key(node_class: type[Node]) -> str:
        return keys_of(workflow(v=(node_class, {})), Registry([node_class]))["v"]

    assert len({key(Versioned), key(Raised), key(Renamed)}) == 3


class Dated(Node):
    """A node that depends on a file that may be deleted."""

    is_output = True

    name: str = Field(description="A file.")

    def fingerprint(self, env: Environment) -> Any:
        raise FileNotFoundError(f"no file {self.name}")

    def run(self, ctx: Context) -> Kept:
        return Kept(value=1)


class Constant(Node):
    """A node whose fingerprint can be set."""

    is_output = True

    def fingerprint(self, env: Environment) -> Any:
        return FINGERPRINT["now"]

    def run(self, ctx: Context) -> Kept:
        return Kept(value=1)


FINGERPRINT: dict[str, Any] = {"now": 1}


def test_the_fingerprint_of_a_node_is_part_of_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    registry, given = Registry([Constant]), workflow(c=(Constant, {}))
    before = keys_of(given, registry)
    assert keys_of(given, registry) == before
    monkeypatch.setitem(FINGERPRINT, "now", {"digest": "abc"})
    assert keys_of(given, registry) != before


@pytest.mark.parametrize(
    ("fingerprint", "words"),
    [(float("nan"), "ValueError"), (b"digest", "TypeError"), ({1, 2}, "TypeError")],
)
def test_a_fingerprint_that_is_not_a_json_value_is_a_fault_of_its_node(
    monkeypatch: pytest.MonkeyPatch, fingerprint: Any, words: str
) -> None:
    monkeypatch.setitem(FINGERPRINT, "now", fingerprint)
    with pytest.raises(WorkflowError, match=rf"node 'c' \(Constant\): .*{words}") as error:
        keys_of(workflow(c=(Constant, {})), Registry([Constant]))
    assert error.value.faults[0].code == "fingerprint_failed"


def test_a_fingerprint_that_raises_is_a_fault_of_its_node() -> None:
    with pytest.raises(WorkflowError, match=r"node 'd' \(Dated\): .*FileNotFoundError: no file gone"):
        keys_of(workflow(d=(Dated, {"name": "gone"})), Registry([Dated]))


SCRIPT = """
import json, sys
sys.path[:0] = json.loads(sys.argv[1])
from sample_nodes import REGISTRY
from run_graph.graph.formats.api import parse_workflow
from run_graph.graph.validation import check
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.plan import make_plan
plan = make_plan(check(parse_workflow(sys.stdin.read()), REGISTRY), RunEnvironment([], "output"))
print(json.dumps({node_id: step.key for node_id, step in plan.steps.items()}))
"""


@pytest.mark.parametrize("seed", ["0", "12345"])
def test_keys_are_the_same_in_every_process(seed: str) -> None:
    given = BASE.with_input("blur", "radius", 0.1)
    paths = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]
    other = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(paths)],
        input=given.dumps(),
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(other.stdout) == keys_of(given)
