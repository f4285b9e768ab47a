"""Read one component of a checkpoint into memory, and nothing else of it."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import mlx.core as mx

from run_graph.runtime.device import compute_dtype
from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.models.architecture import Layer, is_modulation_layer
from run_graph.runtime.models.assembly import (
    GROUP_SIZE,
    Packing,
    Packings,
    assemble,
    can_quantise,
    layer_at,
    named,
)
from run_graph.runtime.models.checkpoints import Checkpoint
from run_graph.runtime.models.components import Component
from run_graph.runtime.models.fitting import GUIDANCE, fitted
from run_graph.runtime.models.layouts.gguf_tensors import gguf_tensors
from run_graph.runtime.models.layouts.gguf_types import BLOCK_TYPES, GROUP
from run_graph.runtime.models.layouts.headers import is_gguf, model_header
from run_graph.runtime.models.layouts.lazy import Tensors
from run_graph.runtime.models.layouts.stored import read_tensors
from run_graph.runtime.models.lora_files import Lora
from run_graph.runtime.models.sources import Source
from run_graph.runtime.networks.cpu import use_numpy_linears

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LoadedComponent:
    """A network in memory.

    `module` is a tree of layers with mflux's names; `config` is the component's config.json (`{}` if mflux
    saved the model); `bits` is its quantisation; `nbytes` is the size of its weights. `streamed` says that
    the layers that modulate the blocks are not among them.
    """

    module: Any
    config: dict[str, Any]
    bits: int | None
    nbytes: int
    streamed: bool = False


class _Opened(NamedTuple):
    """A component whose tensors have been checked and are not read yet."""

    source: Source
    layers: list[Layer]
    tensors: Tensors


def load_component(
    checkpoint: Checkpoint, component: Component, quantize: int | None = None, *, streamed: bool = False
) -> LoadedComponent:
    """Read one component and nothing else.

    Weights have the type `compute_dtype()`, or are quantised to `quantize` bits (3, 4, 5, 6, 8). A
    checkpoint that is stored quantised keeps its precision. With `streamed`, the transformer's modulation
    layers are left out; `streamed_layers` reads them.

    Raises
    ------
    CheckpointError
        If files are missing, damaged or inconsistent; the message names them.
    DownloadError
        If they cannot be downloaded.
    """
    opened = _open(checkpoint, component)
    source = opened.source
    _warn_of_packed(opened, quantize)
    layers = [layer for layer in opened.layers if not (streamed and is_modulation_layer(layer.path))]
    module = _assembled(opened, layers, quantize)
    if component == "transformer" and GUIDANCE not in module.time_text_embed:
        module.time_text_embed.guidance_embedder = None
    nbytes = sum(array.nbytes for array in named(module.parameters()).values())
    return LoadedComponent(module, source.config, source.bits or quantize, nbytes, streamed)


def _warn_of_packed(opened: _Opened, quantize: int | None) -> None:
    """Say that weights which are stored packed are not packed again."""
    source = opened.source
    kinds = {tensor.dtype for tensor in opened.tensors.values() if tensor.dtype in BLOCK_TYPES}
    if source.bits is not None and quantize not in (None, source.bits):
        logger.warning(
            "%s is stored with %d bits; quantize=%d is ignored.", source.place, source.bits, quantize
        )
    elif quantize is not None and kinds:
        stored = ", ".join(sorted(kinds))
        logger.warning(
            "%s is stored as %s; quantize=%d applies to its other weights only.",
            source.place,
            stored,
            quantize,
        )


def streamed_layers(
    checkpoint: Checkpoint, quantize: int | None, loras: tuple[Lora, ...] = ()
) -> Iterator[tuple[str, Any]]:
    """The transformer's modulation layers one after another, adapted by the LoRAs, with their paths.

    Nothing here keeps one. Raises as `load_component`.
    """
    opened = _open(checkpoint, "transformer")
    for layer in opened.layers:
        if is_modulation_layer(layer.path):
            yield layer.path, _adapted_layer(opened, layer, quantize, loras)


def _adapted_layer(opened: _Opened, layer: Layer, quantize: int | None, loras: tuple[Lora, ...]) -> Any:
    from run_graph.runtime.models.lora import adapted

    tree = _assembled(opened, [layer], quantize)
    if loras:
        tree, _ = adapted(tree, loras, part=layer.path.__eq__)
    return layer_at(tree, layer.path)


def _open(checkpoint: Checkpoint, component: Component) -> _Opened:
    source = checkpoint.source(component)
    if problems := source.faults():
        raise CheckpointError(" ".join(problems))
    layers, tensors = fitted(source, _stored(source), checkpoint.without_guidance)
    return _Opened(source, layers, tensors)


def _assembled(opened: _Opened, layers: Iterable[Layer], quantize: int | None) -> Any:
    """The tree of these layers with their weights, read and, if asked for, quantised one after the other."""
    source, tensors = opened.source, opened.tensors
    bits = quantize if source.bits is None else None
    take = _reader(tensors, str(source.place))
    module = assemble(layers, set(tensors), take, _packings(opened), _quantiser(bits))
    module.freeze()
    use_numpy_linears(module)
    return module


def _packings(opened: _Opened) -> Packings:
    """How the layers are packed whose type in a GGUF file says it, and what mflux recorded of all others."""
    known = {
        name.removesuffix(".weight"): Packing(BLOCK_TYPES[tensor.dtype].bits, GROUP)
        for name, tensor in opened.tensors.items()
        if name.endswith(".weight") and tensor.dtype in BLOCK_TYPES
    }
    return Packings(known, opened.source.bits)


def _stored(source: Source) -> Tensors:
    """The network's tensors in all its files, by their names without a prefix; none is read yet."""
    tensors: Tensors = {}
    for path in source.files:
        found = _tensors_of(path)
        tensors |= {own: found[name] for own, name in source.own(found).items()}
    return tensors


def _tensors_of(path: Path) -> Tensors:
    try:
        if is_gguf(path):
            return gguf_tensors(path, model_header(path).tensors)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error
    return read_tensors(path)


def _reader(tensors: Tensors, place: str) -> Callable[[str], mx.array]:
    """Takes a tensor from `tensors` by its name, in the type to compute in, and refuses what is no number."""
    dtype = compute_dtype()

    def take(name: str) -> mx.array:
        array = tensors.pop(name).take()
        if not mx.issubdtype(array.dtype, mx.floating):
            return array
        array = array.astype(dtype)
        if not _is_finite(array):
            raise CheckpointError(
                f"{place}: {name} holds values that are not numbers (NaN or infinite). The file is damaged, "
                "or the model was converted with too small a range; use it in another format."
            )
        return array

    return take


def _is_finite(array: mx.array) -> bool:
    """Whether no number is NaN or infinite: the sum tells it in one pass, unless it overflows itself."""
    return bool(mx.isfinite(mx.sum(array)).item() or mx.isfinite(array).all().item())


def _quantiser(bits: int | None) -> Callable[[str, Any], Any]:
    """Quantises a layer where mflux would, and has its weights in memory when it returns."""

    def finish(path: str, layer: Any) -> Any:
        if bits is not None and can_quantise(path, layer):
            layer = layer.to_quantized(group_size=GROUP_SIZE, bits=bits)
        mx.eval(layer.parameters())
        return layer

    return finish
