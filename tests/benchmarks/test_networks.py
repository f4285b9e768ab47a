"""The comparison with torch compares the same computations."""

from collections.abc import Iterator

import numpy as np
import pytest
from small import SMALL

from benchmarks import networks


def test_without_torch_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "on_cpu", lambda: True)
    monkeypatch.setattr(networks, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="uv pip install --no-config torch diffusers"):
        networks.measure(quick=True)


def test_on_a_gpu_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "on_cpu", lambda: False)
    with pytest.raises(SystemExit, match="what the CPU computes"):
        networks.measure(quick=True)


def test_every_network_is_compared_and_equal() -> None:
    pytest.importorskip("torch", reason="what the networks are compared with")
    if not networks.on_cpu():
        pytest.skip("the comparison is in float32, on the CPU")
    section = networks.compared(SMALL, quick=True)
    [table] = section.tables
    assert [row[0] for row in table.rows] == [
        "SigLIP, patch embedding",
        "SigLIP, with 1 layer",
        "VAE, decode 64 px",
        "VAE, encode 64 px",
        "T5, 2 layers, 16 tokens",
        "FLUX, 1 joint and 1 single, 256 + 512 tokens",
    ]
    assert all(len(row) == len(table.headings) for row in table.rows)
    assert all(0 < float(row[-1]) < networks.TOLERANCE for row in table.rows)


def test_interrupted_it_reports_what_it_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    torch_pairs = pytest.importorskip("benchmarks.torch_pairs", reason="what the networks are compared with")

    def pairs(*_: object) -> Iterator[object]:
        yield torch_pairs.Pair("one number", lambda: np.ones(1), lambda: np.ones(1))
        raise KeyboardInterrupt

    monkeypatch.setattr(networks, "_pairs", pairs)
    section = networks.compared(SMALL, quick=True)
    assert [row[0] for row in section.tables[0].rows] == ["one number"]
    assert section.notes[-1].startswith("Interrupted")


def test_results_that_differ_are_no_comparison() -> None:
    pytest.importorskip("torch", reason="what the networks are compared with")
    from benchmarks.torch_pairs import Pair

    pair = Pair("two numbers", lambda: np.ones(2, np.float32), lambda: np.array([1, 1.001], np.float32))
    with pytest.raises(AssertionError, match="two numbers: the results differ by 1"):
        networks._measured(pair, (1,), rounds=1)
