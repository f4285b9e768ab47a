"""What travels between machines arrives as it was, to the bit."""

import pickle
import sys
from pathlib import Path

import mlx.core as mx
import pytest
from cache_samples import VALUES

from run_graph.graph import Registry
from run_graph.graph.node_files import with_node_files
from run_graph.runtime.cache.serialization import serialize
from run_graph.runtime.errors import NodeFailed
from run_graph.runtime.events import NodeProgress

pytest.importorskip("distributed", reason="the extra `cluster` is not installed")
from distributed.protocol import deserialize
from distributed.protocol import serialize as dask_serialize

from run_graph.runtime.cluster.wire import Parcel, pack, unpack


@pytest.mark.parametrize("name", VALUES)
def test_values_in_a_parcel_and_by_dask_itself(name: str) -> None:
    value, _ = VALUES[name]
    for found in (unpack(pack({"value": value}))["value"], deserialize(*dask_serialize(value))):
        assert type(found) is type(value)
        assert serialize(found).digest() == serialize(value).digest()


@pytest.mark.parametrize("protocol", [4, 5])
def test_a_parcel_in_a_parcel_and_in_a_pickle(protocol: int) -> None:
    inner = pack(mx.arange(6, dtype=mx.bfloat16))
    for found in (unpack(pack([inner]))[0], pickle.loads(pickle.dumps(inner, protocol=protocol))):
        assert isinstance(found, Parcel)
        assert found.nbytes == inner.nbytes
        assert unpack(found).dtype == mx.bfloat16
        assert unpack(found).tolist() == [0, 1, 2, 3, 4, 5]


def test_arrays_are_beside_the_pickle() -> None:
    parcel = pack(NodeProgress("n", 1, 2, mx.zeros((100, 100))))
    assert [memoryview(each).nbytes for each in parcel.buffers] == [40000]
    assert len(parcel.head) < 1000


class OwnError(Exception):
    """Cannot be unpickled: it is made with two arguments, and keeps one."""

    def __init__(self, layer: int, why: str) -> None:
        super().__init__(f"layer {layer}: {why}")


@pytest.mark.parametrize("cause", [OwnError(3, "NaN"), ValueError(lambda: 0), ValueError("too wide")])
def test_a_failure_keeps_its_words_whatever_its_cause_is(cause: Exception) -> None:
    failure = NodeFailed("sample", "FluxSample", {"steps": 4}, cause)
    for found in (unpack(pack(failure)), pickle.loads(pickle.dumps(failure))):
        assert str(found) == str(failure)
        assert (found.error, found.inputs) == (failure.error, failure.inputs)
        assert str(found.__cause__) == str(cause) or type(found.__cause__) is RuntimeError


def test_a_class_of_a_node_file_travels_as_code(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "from run_graph import Node, Outputs\n"
        "class Value(Outputs):\n    value: int\n"
        "class Mine(Node):\n    x: int = 2\n    def run(self, ctx) -> Value:\n"
        "        return Value(value=self.x + 1)\n"
    )
    node = with_node_files(Registry(), [file])["Mine"](x=4)
    module = type(node).__module__
    parcel = pack(node)
    known = sys.modules.pop(module)  # as on a worker
    try:
        found = unpack(parcel)
    finally:
        sys.modules[module] = known
    assert found.run(None).value == 5  # type: ignore[attr-defined]
