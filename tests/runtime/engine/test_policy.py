"""The order among ready nodes: no model first, then the model in use, then the least depth."""

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

from engine import Engine, workflow

from run_graph.graph import Context, Field, Node, Outputs, Registry, SocketValue
from run_graph.runtime.engine.context import RunEnvironment
from run_graph.runtime.engine.job import Job
from run_graph.runtime.engine.policy import ReadyNodes
from run_graph.runtime.engine.services import Services
from run_graph.runtime.engine.session import Session
from run_graph.runtime.events import NodeStarted


def order_of(*nodes: tuple[str, Hashable | None, int]) -> list[str]:
    """The order in which (id, affinity, depth) come out again."""
    ready = ReadyNodes()
    for position, (node_id, affinity, depth) in enumerate(nodes):
        ready.add(node_id, affinity, depth, position)
    return drain(ready)


def no_room(node_id: str) -> bool:
    """Memory holds one model at a time."""
    return False


def drain(ready: ReadyNodes) -> list[str]:
    taken = []
    while ready:
        taken.append(ready.pop(no_room))
    return taken


def test_nodes_without_a_model_go_first() -> None:
    assert order_of(("t5", "T5", 0), ("load", None, 9), ("clip", "CLIP", 0)) == ["load", "t5", "clip"]


def test_the_model_in_use_is_kept() -> None:
    assert order_of(("a1", "A", 1), ("b1", "B", 2), ("a2", "A", 8), ("b2", "B", 9)) == [
        "a1",
        "a2",
        "b1",
        "b2",
    ]


def test_the_model_in_use_is_kept_over_nodes_without_one() -> None:
    ready = ReadyNodes()
    ready.add("a1", "A", 0, 0)
    ready.add("b1", "B", 1, 1)
    assert ready.pop(no_room) == "a1"
    ready.add("save", None, 5, 2)
    ready.add("a2", "A", 6, 3)
    assert drain(ready) == ["save", "a2", "b1"]


def test_the_other_model_nearest_the_beginning_is_next() -> None:
    assert order_of(("sample", "FLUX", 3), ("encode", "T5", 1)) == ["encode", "sample"]


def test_least_depth_then_file_order_decide_within_a_model() -> None:
    assert order_of(("late", None, 2), ("b", None, 1), ("a", None, 1)) == ["b", "a", "late"]


def test_if_all_models_fit_the_node_nearest_the_end_is_next() -> None:
    ready = ReadyNodes()
    for position, (node_id, model, depth) in enumerate(
        [("encode", "T5", 1), ("sample", "FLUX", 3), ("decode", "VAE", 4)]
    ):
        ready.add(node_id, model, depth, position)
    assert [ready.pop(lambda node_id: True) for _ in range(3)] == ["decode", "sample", "encode"]


def test_a_model_that_does_not_fit_waits_until_those_that_do_are_used_up() -> None:
    ready = ReadyNodes()
    ready.add("encode", "T5", 1, 0)
    ready.add("sample", "FLUX", 3, 1)
    fits = {"encode": True, "sample": False}.__getitem__
    assert [ready.pop(fits), ready.pop(fits)] == ["encode", "sample"]


def test_an_empty_queue_is_false() -> None:
    ready = ReadyNodes()
    assert not ready
    ready.add("a", None, 0, 0)
    assert ready


class Model(SocketValue):
    """A light handle: what to load."""

    socket_type = "MODEL"

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def affinity(self) -> Hashable:
        return self.name


class Loaded(Outputs):
    model: Model


class Value(Outputs):
    value: str


class Load(Node):
    """A handle."""

    name: str

    def run(self, ctx: Context) -> Loaded:
        return Loaded(model=Model(self.name))


class Compute(Node):
    """Something with a model."""

    model: Model
    seed: Any = 0
    given: Any = None

    def run(self, ctx: Context) -> Value:
        return Value(value=f"{self.model.name}({self.given or self.seed})")


class Save(Node):
    """Something without a model."""

    is_output = True
    given: Any = Field(description="Anything.")

    def run(self, ctx: Context) -> Value:
        return Value(value=str(self.given))


def models_used(engine: Engine, nodes: dict[str, Any]) -> list[str]:
    """The models in order of use, once for each switch to one."""
    uses: Iterable[str] = (nodes[n][1]["model"][1:] for n in engine.ran if "model" in nodes[n][1])
    switches: list[str] = []
    for model in uses:
        if not switches or switches[-1] != model:
            switches.append(model)
    return switches


def test_a_batch_switches_models_once_each() -> None:
    """Ten pictures, each encoded, sampled and decoded: three models, three loads instead of thirty."""
    nodes: dict[str, Any] = {name: (Load, {"name": name}) for name in ("t5", "flux", "vae")}
    for i in range(10):
        nodes[f"encode{i}"] = (Compute, {"model": "@t5", "seed": i})
        nodes[f"sample{i}"] = (Compute, {"model": "@flux", "given": f"@encode{i}"})
        nodes[f"decode{i}"] = (Compute, {"model": "@vae", "given": f"@sample{i}"})
        nodes[f"save{i}"] = (Save, {"given": f"@decode{i}"})
    engine = Engine(Registry([Load, Compute, Save]))
    result = engine.run(workflow(**nodes))
    assert models_used(engine, nodes) == ["t5", "flux", "vae"]
    saved = result.outputs("save3")
    assert isinstance(saved, Value)
    assert saved.value == "vae(flux(t5(3)))"


def test_each_picture_is_saved_before_the_next_is_decoded() -> None:
    nodes: dict[str, Any] = {"vae": (Load, {"name": "vae"})}
    for i in range(3):
        nodes[f"decode{i}"] = (Compute, {"model": "@vae", "seed": i})
        nodes[f"save{i}"] = (Save, {"given": f"@decode{i}"})
    engine = Engine(Registry([Load, Compute, Save]))
    engine.run(workflow(**nodes))
    assert engine.ran == ["vae", "decode0", "save0", "decode1", "save1", "decode2", "save2"]


class RoomForAll:
    """A service that holds any number of models."""

    def has_room_for(self, values: Iterable[Any]) -> bool:
        return True


def test_with_room_for_all_models_each_picture_is_saved_before_the_next_is_sampled() -> None:
    """A user who stops a long batch keeps the finished pictures."""
    nodes: dict[str, Any] = {name: (Load, {"name": name}) for name in ("flux", "vae")}
    for i in range(2):
        nodes[f"sample{i}"] = (Compute, {"model": "@flux", "seed": i})
        nodes[f"decode{i}"] = (Compute, {"model": "@vae", "given": f"@sample{i}"})
        nodes[f"save{i}"] = (Save, {"given": f"@decode{i}"})
    session = Session(Registry([Load, Compute, Save]), services=Services(RoomForAll()))
    ran: list[str] = []
    session.run(
        workflow(**nodes),
        on_event=lambda event: ran.append(event.node_id) if isinstance(event, NodeStarted) else None,
    )
    assert ran == ["flux", "vae", "sample0", "decode0", "save0", "sample1", "decode1", "save1"]


def test_a_model_waits_for_another_that_will_make_more_work_for_it() -> None:
    ready = ReadyNodes()
    ready.add("encode", "T5", 1, 0)
    ready.add("translate", "LLM", 1, 1)
    assert ready.pop(no_room_at_all, lambda: {"T5": {"LLM"}}) == "translate"


def test_models_that_fit_together_need_not_wait_for_each_other() -> None:
    ready = ReadyNodes()
    ready.add("encode", "T5", 2, 0)
    ready.add("translate", "LLM", 1, 1)
    assert ready.pop(lambda *node_ids: True, lambda: {"T5": {"LLM"}}) == "encode"


def test_models_that_wait_for_each_other_do_not_stop_the_run() -> None:
    ready = ReadyNodes()
    ready.add("a", "A", 2, 0)
    ready.add("b", "B", 1, 1)
    assert ready.pop(no_room_at_all, lambda: {"A": {"B"}, "B": {"A"}}) == "b"


def no_room_at_all(*node_ids: str) -> bool:
    return False


class OneModel:
    """Memory for one model; counts how often each is loaded."""

    def __init__(self) -> None:
        self.loads: list[str] = []

    def has_room_for(self, values: Iterable[Any]) -> bool:
        wanted = {value.name for value in values if isinstance(value, Model)}
        return wanted <= set(self.loads[-1:]) or (not self.loads and len(wanted) == 1)

    def use(self, name: str) -> None:
        if self.loads[-1:] != [name]:
            self.loads.append(name)


class ComputeInOne(Compute):
    """Like Compute, but through the service."""

    def run(self, ctx: Context) -> Value:
        ctx.service(OneModel).use(self.model.name)
        return super().run(ctx)


def picture(prefix: str, *stages: str) -> dict[str, Any]:
    """A chain of stages with these models, their loaders, and a node that saves the end."""
    nodes: dict[str, Any] = {f"{prefix}load_{model}": (Load, {"name": model}) for model in stages}
    given = prefix
    for number, model in enumerate(stages):
        nodes[f"{prefix}{number}"] = (ComputeInOne, {"model": f"@{prefix}load_{model}", "given": given})
        given = f"@{prefix}{number}"
    return {**nodes, f"{prefix}save": (Save, {"given": given})}


def loads_of(*chains: dict[str, Any]) -> list[str]:
    """The models that are loaded, in order, when these workflows run together in memory for one."""
    memory = OneModel()
    session = Session(Registry([Load, ComputeInOne, Save]), services=Services(memory))
    environment = RunEnvironment([Path()], Path("output"))
    jobs = [Job(workflow(**nodes), environment, name=str(i)) for i, nodes in enumerate(chains)]
    session.run_together(jobs)
    return memory.loads


def test_workflows_of_different_depth_load_each_model_once() -> None:
    """A prompt that is translated first reaches the text encoder, and every later stage, one stage later."""
    plain = picture("a", "t5", "flux", "vae")
    translated = picture("b", "llm", "t5", "flux", "vae")
    assert sorted(loads_of(plain, translated)) == ["flux", "llm", "t5", "vae"]
    assert sorted(loads_of(translated, plain)) == ["flux", "llm", "t5", "vae"]


def test_workflows_on_two_checkpoints_load_each_model_once() -> None:
    chains = [
        picture(f"{model}{i}", f"t5-{model}", f"flux-{model}", "vae") for i in range(3) for model in "xy"
    ]
    assert sorted(loads_of(*chains)) == ["flux-x", "flux-y", "t5-x", "t5-y", "vae"]


def test_a_model_that_a_workflow_needs_twice_is_loaded_twice_in_all() -> None:
    """Sampled, decoded, encoded and sampled again, beside pictures that are sampled once."""
    refined = picture("r", "t5", "flux", "vae", "siglip", "flux", "vae")
    plain = [picture(f"p{i}", "t5", "flux", "vae") for i in range(3)]
    assert sorted(loads_of(*plain, refined)) == ["flux", "flux", "siglip", "t5", "vae", "vae"]
