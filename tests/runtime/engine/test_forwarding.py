"""A forwarded output costs nothing: its readers get the value from its source, and no result holds it."""

import gc
import weakref
from pathlib import Path
from typing import Any, ClassVar

import pytest
from cache_samples import disk, files
from engine import Engine, workflow

from run_graph.graph import Context, Field, Node, Outputs, Registry, SocketValue
from run_graph.runtime.cache import Entry, MemoryCache, NoCache, ResultCache
from run_graph.runtime.events import Event, NodeFinished


class Blob(SocketValue):
    """A value whose life can be watched."""

    socket_type = "BLOB"
    alive: ClassVar["weakref.WeakSet[Blob]"] = weakref.WeakSet()

    def __init__(self, number: int) -> None:
        self.number = number
        Blob.alive.add(self)


class Made(Outputs):
    blob: Blob


class Make(Node):
    """A blob from a number."""

    number: int = 0

    def run(self, ctx: Context) -> Made:
        return Made(blob=Blob(self.number))


class Saved(Outputs):
    blob: Blob = Field(json_schema_extra={"forwards": "blob"})
    path: str


class Save(Node):
    """Write a blob, and forward it."""

    is_output = True

    blob: Blob
    prefix: str = "a"

    def run(self, ctx: Context) -> Saved:
        return Saved.model_construct(path=f"{self.prefix}{self.blob.number}")


class Read(Outputs):
    number: int


class ReadBlob(Node):
    """The number of a blob."""

    is_output = True

    blob: Blob
    plus: int = 0

    def run(self, ctx: Context) -> Read:
        return Read(number=self.blob.number + self.plus)


REGISTRY = Registry([Make, Save, ReadBlob])


def value(result: Any, node_id: str, slot: str) -> Any:
    return getattr(result.outputs(node_id), slot)


def test_a_reader_gets_the_value_of_the_input() -> None:
    engine = Engine(REGISTRY)
    given = workflow(
        make=(Make, {"number": 7}),
        save=(Save, {"blob": "@make"}),
        again=(Save, {"blob": "@save.blob", "prefix": "b"}),
        read=(ReadBlob, {"blob": "@again"}),
        path=(ReadBlob, {"blob": "@save", "plus": 1}),
    )
    result = engine.run(given)
    assert sorted(engine.ran) == ["again", "make", "path", "read", "save"]
    assert value(result, "again", "path") == "b7"
    assert value(result, "read", "number") == 7
    assert value(result, "path", "number") == 8


def test_a_node_added_behind_a_saver_does_not_make_it_run_again() -> None:
    engine = Engine(REGISTRY)
    nodes: dict[str, Any] = {"make": (Make, {}), "save": (Save, {"blob": "@make"})}
    engine.run(workflow(**nodes))
    engine.run(workflow(**nodes, read=(ReadBlob, {"blob": "@save"})))
    assert engine.ran == ["read"]


def test_reading_directly_or_past_a_saver_is_the_same() -> None:
    engine = Engine(REGISTRY)
    engine.run(
        workflow(
            make=(Make, {}),
            save=(Save, {"blob": "@make"}),
            direct=(ReadBlob, {"blob": "@make"}),
            past=(ReadBlob, {"blob": "@save"}),
        )
    )
    assert engine.reused("duplicate") == ["past"]


def test_a_saver_needs_not_run_for_a_reader_that_is_the_only_target() -> None:
    engine = Engine(REGISTRY)
    given = workflow(make=(Make, {}), save=(Save, {"blob": "@make"}), read=(ReadBlob, {"blob": "@save"}))
    assert value(engine.run(given, ["read"]), "read", "number") == 0
    assert engine.ran == ["make", "read"]


@pytest.mark.parametrize("cache", [NoCache(), MemoryCache()], ids=["no cache", "memory"])
def test_no_result_keeps_what_was_saved_in_memory(cache: ResultCache) -> None:
    """A sweep saves hundreds of pictures; each is released once it is saved."""
    alive: list[int] = []

    def count(event: Event) -> None:
        if isinstance(event, NodeFinished) and event.class_type == "Save":
            if isinstance(cache, MemoryCache):
                cache.clear()
            gc.collect()
            alive.append(len(Blob.alive))

    nodes: dict[str, Any] = {}
    for number in range(10):
        nodes[f"make{number}"] = (Make, {"number": number})
        nodes[f"save{number}"] = (Save, {"blob": f"@make{number}"})
    engine = Engine(REGISTRY, cache)
    result = engine.run(workflow(**nodes), on_event=count)
    gc.collect()
    # All were made before the first was saved; each goes when it has been saved.
    assert alive == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]
    assert len(Blob.alive) == 0
    assert value(result, "save9", "path") == "a9"


def test_asking_the_result_for_it_says_where_it_is() -> None:
    from run_graph.graph import Graph

    g = Graph(REGISTRY)
    made = g.add(Make())
    saved = g.add(Save(blob=made.blob), id="save")
    result = Engine(REGISTRY).run(g.workflow)
    assert result.value(saved.path) == "a0"
    with pytest.raises(KeyError, match="'blob' of 'save' forwards an input and is not kept; name the node"):
        result.value(saved.blob)


def test_a_savers_result_on_the_disk_holds_only_its_path(tmp_path: Path) -> None:
    cache, warnings = disk(tmp_path)
    cache.put(Entry("key", Saved.model_construct(path="a.png"), node_class=Save))
    assert sum(path.stat().st_size for path in files(tmp_path)) < 1000
    again = disk(tmp_path)[0].get("key", Saved)
    assert again is not None
    assert vars(again) == {"path": "a.png"}
    assert warnings == []
