"""How much memory and disk a component takes, before any of its weights are read."""

import math
from collections import Counter
from collections.abc import Iterable

from run_graph.runtime.models.architecture import is_modulation_layer
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.inspection import Tensor
from run_graph.runtime.models.layouts.gguf_types import BLOCK_TYPES, GROUP
from run_graph.runtime.models.layouts.storage import FLOATS, is_auxiliary
from run_graph.runtime.models.lora_layer_names import find_layers
from run_graph.runtime.models.sources import Source

_GROUP_SIZE = 64  # Weights that share one scale and one offset.

# Published sizes of the bfloat16 files of Black Forest Labs' repositories, in bytes, and about those of the
# vocabularies.
_DOWNLOADS = {
    "transformer": 23_800_000_000,
    "text_encoder_2": 9_520_000_000,
    "text_encoder": 246_000_000,
    "vae": 168_000_000,
    "image_encoder": 857_000_000,
    "image_embedder": 129_000_000,
    "tokenizer": 1_600_000,
    "tokenizer_2": 3_200_000,
}
_PUBLISHER = "black-forest-labs/"

# Weights of FLUX.1's modulation layers, with 3072 inputs: two of 6 x 3072 outputs in each of 19 joint blocks,
# one of 3 x 3072 in each of 38 single ones.
_LARGEST_MODULATION = 6 * 3072**2
_MODULATION = (19 * 2 * 6 + 38 * 3) * 3072**2


def download_bytes(repo: str, parts: Iterable[str]) -> int | None:
    """Bytes that downloading parts of a repository takes, rounded; None if that is not known beforehand."""
    if not repo.startswith(_PUBLISHER):
        return None
    return sum(_DOWNLOADS.get(part, 0) for part in parts)


def published_bytes(
    component: Component, quantize: int | None, float_bytes: int, *, streamed: bool = False
) -> int:
    """About what a component of FLUX.1 or Redux occupies once loaded, from the size of its published files.

    As if every weight were quantised, except in the autoencoder, whose convolutions are not. With `streamed`
    as in `estimated_bytes`.
    """
    count = _DOWNLOADS[component] // 2
    if streamed and component == "transformer":
        count -= _MODULATION - _LARGEST_MODULATION
    return _packed(count, None if component == "vae" else quantize, float_bytes)


def estimated_bytes(source: Source, quantize: int | None, float_bytes: int, *, streamed: bool = False) -> int:
    """Bytes that the component's weights will occupy once loaded.

    A floating-point weight takes `float_bytes` (2 on a GPU, 4 on the CPU). Where quantisation applies
    (matrix rows of whole groups), it takes `quantize` bits, plus two floats per group. With `streamed`, only
    the largest of the transformer's modulation layers counts.
    """
    bits = quantize if source.bits is None else None
    kept, passing = 0, Counter[str]()
    for name, tensor in source.tensors().items():
        layer, size = name.rpartition(".")[0], _tensor_bytes(tensor, bits, float_bytes)
        if streamed and _modulates(layer):
            passing[layer] += size
        elif not is_auxiliary(name):
            kept += size
    return kept + max(passing.values(), default=0)


def _modulates(layer: str) -> bool:
    found = find_layers(layer)
    return found is not None and all(map(is_modulation_layer, found.names))


def _tensor_bytes(tensor: Tensor, bits: int | None, float_bytes: int) -> int:
    if (block := BLOCK_TYPES.get(tensor.dtype)) is not None:
        return _packed(math.prod(tensor.shape), block.bits, float_bytes, GROUP)
    if tensor.dtype not in FLOATS:
        return tensor.nbytes
    count = math.prod(tensor.shape)
    is_packed = len(tensor.shape) == 2 and tensor.shape[1] % _GROUP_SIZE == 0
    return _packed(count, bits if is_packed else None, float_bytes)


def _packed(count: int, bits: int | None, float_bytes: int, group: int = _GROUP_SIZE) -> int:
    """Bytes of so many weights, quantised to `bits` if given."""
    if bits is None:
        return count * float_bytes
    return count * bits // 8 + 2 * float_bytes * (count // group)
