"""Modulation by layers that are not kept: each is read, used for all noise levels of a run, and let go.

The layers that compute modulation vectors are 27 % of FLUX.1's weights (6.5 GB in bfloat16). The vectors of a
noise level and a prompt take 2.1 MB.
"""

from __future__ import annotations

import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from run_graph.runtime.networks.modulation import LEVELS_AT_ONCE, Layer, Modulation, condition

LEVELS_A_READING = 16 * LEVELS_AT_ONCE  # Most that one reading computes: 0.6 GB for FLUX.1.
LEVELS_KEPT = 128  # Of earlier samplings, such as those of other seeds.

Layers = Callable[[], Iterator[tuple[str, Layer]]]
"""Reads the layers again: their paths in mflux's `Transformer`, and themselves."""
Key = tuple[bytes, tuple[float, ...]]


class ModulationStream:
    """Computes the vectors of all samplings under way in one reading of the layers.

    Parameters
    ----------
    module
        mflux's `Transformer` without its modulation layers.
    layers
        Reads them, each time it is called. The caller keeps none, so that one at a time is in memory.
    dtype
        The model's.
    """

    def __init__(self, module: Any, layers: Layers, dtype: mx.Dtype) -> None:
        self._module = module
        self._layers = layers
        self._dtype = dtype
        self._under_way: weakref.WeakSet[StreamedModulations] = weakref.WeakSet()
        self._known: OrderedDict[Key, list[Modulation]] = OrderedDict()  # by the portion of levels

    def modulations(self, embedding: mx.array, sigmas: Sequence[float]) -> StreamedModulations:
        """The vectors of a sampling that visits these levels; none is computed before it is asked for."""
        begun = StreamedModulations(self, embedding, sigmas)
        self._under_way.add(begun)
        return begun

    def portions(self, asking: StreamedModulations, sigma: float) -> list[Modulation]:
        """The vectors of all levels that `asking` has near `sigma`, in portions of `LEVELS_AT_ONCE`."""
        key = asking.key_at(sigma)
        if key not in self._known:
            wanted = {each.key_at(sigma): each for each in self._under_way if each.has(sigma)}
            self._read({**wanted, key: asking})
        self._known.move_to_end(key)
        return self._known[key]

    def _read(self, wanted: dict[Key, StreamedModulations]) -> None:
        new = {key: each.embedding for key, each in wanted.items() if key not in self._known}
        self._forget(sum(len(levels) for _, levels in new))
        conditions = {key: self._conditions(embedding, key[1]) for key, embedding in new.items()}
        found: dict[str, dict[Key, list[mx.array]]] = {}
        for path, layer in self._layers():
            vectors = {key: [layer(each) for each in portions] for key, portions in conditions.items()}
            mx.eval(list(vectors.values()))  # The layer's weights are read here, and can go with it.
            found[path] = vectors
            del layer  # before the next one is made
        for key, portions in conditions.items():
            self._known[key] = [
                _modulation({path: vectors[key][index] for path, vectors in found.items()})
                for index in range(len(portions))
            ]

    def _conditions(self, embedding: mx.array, levels: Sequence[float]) -> list[mx.array]:
        """As `ModulationsInMemory` divides them, which gives the same bits."""
        starts = range(0, len(levels), LEVELS_AT_ONCE)
        return [
            condition(self._module, embedding, levels[start : start + LEVELS_AT_ONCE], self._dtype)
            for start in starts
        ]

    def _forget(self, coming: int) -> None:
        """Drop what was used longest ago until, with what comes, few levels are kept."""
        while self._known and coming + sum(len(levels) for _, levels in self._known) > LEVELS_KEPT:
            self._known.popitem(last=False)


class StreamedModulations:
    """`Modulations` from a stream."""

    def __init__(self, stream: ModulationStream, embedding: mx.array, sigmas: Sequence[float]) -> None:
        self.embedding = embedding
        self._stream = stream
        self._sigmas = tuple(sigmas)
        self._indices = {sigma: index for index, sigma in enumerate(sigmas)}
        self._name: bytes | None = None
        self._key: Key | None = None  # of the portions at hand
        self._portions: list[Modulation] = []

    def at(self, sigma: float) -> Modulation:
        key = self.key_at(sigma)
        if key != self._key:
            self._portions, self._key = self._stream.portions(self, sigma), key
        index = self._indices.get(sigma, 0) % LEVELS_A_READING
        return self._portions[index // LEVELS_AT_ONCE].at(index % LEVELS_AT_ONCE)

    def has(self, sigma: float) -> bool:
        """Whether the sampling visits this level."""
        return sigma in self._indices

    def key_at(self, sigma: float) -> Key:
        """Names the vectors that come from one reading with those at a level.

        A level that was not announced is one by itself: right, but the layers are read for it alone.
        """
        if self._name is None:
            self._name = np.array(self.embedding.astype(mx.float32)).tobytes()
        if sigma not in self._indices:
            return self._name, (sigma,)
        index = self._indices[sigma]
        first = index - index % LEVELS_A_READING
        return self._name, self._sigmas[first : first + LEVELS_A_READING]


def _modulation(vectors: dict[str, mx.array]) -> Modulation:
    def of_blocks(blocks: str, layer: str) -> Iterator[mx.array]:
        index = 0
        while (found := vectors.get(f"{blocks}.{index}.{layer}.linear")) is not None:
            yield found
            index += 1

    image, text = (of_blocks("transformer_blocks", layer) for layer in ("norm1", "norm1_context"))
    return Modulation(
        joint=tuple(zip(image, text, strict=True)),
        single=tuple(of_blocks("single_transformer_blocks", "norm")),
        out=vectors["norm_out.linear"],
    )
