"""Match a LoRA file to the layers of FLUX's networks, from the file's header alone.

So a LoRA for another model, or of a kind that cannot be applied, is refused before anything is computed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models.components import TRANSFORMER_ONLY, Component
from run_graph.runtime.models.inspection import Tensor, read_header
from run_graph.runtime.models.lora_files import Lora, lora_digest
from run_graph.runtime.models.lora_names import DORA, DOWN, UP, Layers, ParsedKey, other_model, parse_key

_LISTED = 3  # Names that a message gives of a longer list.
_NUMBERS = {"F64", "F32", "F16", "BF16"}


@dataclass
class Adapter:
    """The matrices for one layer, or for layers that the file fuses: keys by the matrices' names."""

    layers: Layers
    matrices: dict[str, str] = field(default_factory=dict)

    @property
    def is_lokr(self) -> bool:
        """Whether its update is a Kronecker product."""
        return any(name.startswith("lokr") for name in self.matrices)


@dataclass(frozen=True)
class LoraLayout:
    """The contents of a LoRA file.

    Attributes
    ----------
    path : Path
    tensors : dict
        The header's entries by key.
    adapters : dict
        By the file's own names of its layers.
    unmatched : list
        Keys that are not for the networks that it is to change.
    unsupported : dict
        Keys that are for them, but cannot be applied, by what they make of the file.
    components : tuple
        The networks that it is to change.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    adapters: dict[str, Adapter] = field(default_factory=dict)
    unmatched: list[str] = field(default_factory=list)
    unsupported: dict[str, list[str]] = field(default_factory=dict)
    components: tuple[Component, ...] = TRANSFORMER_ONLY

    def keys_of(self, component: Component) -> list[str]:
        """The keys of one network's adapters."""
        return [key for adapter in self.of(component) for key in adapter.matrices.values()]

    def of(self, component: Component) -> list[Adapter]:
        """The adapters of one network."""
        return [each for each in self.adapters.values() if each.layers.component == component]

    @property
    def what(self) -> str:
        """The networks in words."""
        return "FLUX's transformer" if self.components == TRANSFORMER_ONLY else "FLUX's networks"


def examine(
    path: Path, skip_unmatched: bool = False, components: tuple[Component, ...] = TRANSFORMER_ONLY
) -> LoraLayout:
    """Match a file's keys to layers and check that they form complete adapters.

    Parameters
    ----------
    path
        A safetensors file.
    skip_unmatched
        Ignore keys that are for no layer of these networks.
    components
        The networks that it is to change.

    Raises
    ------
    LoraError
        If the file cannot be read, if it is not for FLUX.1 or cannot be applied whole, if a key matches no
        layer or lacks its counterpart, or if a pair of matrices differs in rank; the message names the keys.
    """
    try:
        layout = LoraLayout(path, read_header(path).tensors, components=components)
    except (OSError, ValueError) as error:
        raise LoraError(f"The LoRA cannot be read: {error}") from error
    for key in layout.tensors:
        _place(layout, key, parse_key(key))
    _check_family(layout)
    _check_supported(layout)
    _check_unmatched(layout, skip_unmatched)
    _check_disjoint(layout)
    for adapter in layout.adapters.values():
        _check_adapter(layout, adapter)
    return layout


def lora_of(
    path: Path,
    name: str,
    scale: float,
    skip_unmatched: bool,
    components: tuple[Component, ...] = TRANSFORMER_ONLY,
) -> Lora:
    """A file as a LoRA in a model handle, which is the same however a workflow names the file.

    Raises
    ------
    LoraError
        As `examine` does, whose arguments these are.
    """
    unmatched = bool(examine(path, skip_unmatched, components).unmatched)
    return Lora(lora_digest(path), scale, unmatched, name, path, components)


def listed(keys: Iterable[str]) -> str:
    """The first few keys, and how many more there are."""
    names = sorted(keys)
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more


def _place(layout: LoraLayout, key: str, parsed: ParsedKey) -> None:
    if parsed.kind == "unknown" or parsed.component not in layout.components:
        layout.unmatched.append(key)
    elif parsed.layers is not None:
        adapter = layout.adapters.setdefault(parsed.module, Adapter(parsed.layers))
        other = adapter.matrices.setdefault(parsed.matrix, key)
        if other != key:
            raise LoraError(
                f"{layout.path}: {other} and {key} are both for {parsed.module}. The file is damaged."
            )
    else:
        layout.unsupported.setdefault(parsed.matrix, []).append(key)


def _check_family(layout: LoraLayout) -> None:
    others = [*layout.unmatched, *(key for keys in layout.unsupported.values() for key in keys)]
    if (family := other_model(others)) is not None:
        raise LoraError(
            f"{layout.path} is not a LoRA for FLUX.1 but for {family}, by its keys ({listed(others)}). "
            "Use one that was made for FLUX.1."
        )
    if not layout.adapters and not layout.unsupported:
        raise LoraError(
            f"{layout.path} is not a LoRA for FLUX.1: no layer of {layout.what} matches its keys "
            f"({listed(layout.tensors) or 'it has none'}). Use one that was made for FLUX.1."
        )


def _check_supported(layout: LoraLayout) -> None:
    """Refuse what belongs to these networks but cannot be applied, whether or not others are skipped."""
    unsupported = dict(layout.unsupported)
    plain = (each.matrices for each in layout.adapters.values() if not each.is_lokr)
    if dora := [matrices[DORA] for matrices in plain if DORA in matrices]:
        unsupported = {"is a DoRA": dora} | unsupported
    for form, keys in unsupported.items():
        raise LoraError(
            f"{layout.path} is for FLUX.1, but it {form} ({listed(keys)}), which cannot be applied; without "
            "that it would give another picture. Use a plain LoRA or LoKr."
        )
    if odd := [key for key in _keys(layout) if layout.tensors[key].dtype not in _NUMBERS]:
        raise LoraError(
            f"{layout.path} is stored as {layout.tensors[odd[0]].dtype} ({listed(odd)}), which run-graph "
            "does not read. Use a file in float32, float16 or bfloat16."
        )


def _keys(layout: LoraLayout) -> Iterable[str]:
    return (key for adapter in layout.adapters.values() for key in adapter.matrices.values())


def _check_unmatched(layout: LoraLayout, skip_unmatched: bool) -> None:
    if layout.unmatched and not skip_unmatched:
        raise LoraError(
            f"{layout.path}: {len(layout.unmatched)} of its {len(layout.tensors)} tensors match no layer of "
            f"{layout.what}: {listed(layout.unmatched)}. Use another file, or set unmatched to "
            '"skip" to apply the rest without them.'
        )


def _check_disjoint(layout: LoraLayout) -> None:
    """Refuse a file that has two adapters for one layer, such as a fused and a separate one."""
    owners: dict[str, Adapter] = {}
    for adapter in layout.adapters.values():
        for layer in adapter.layers.names:
            other = owners.setdefault(layer, adapter)
            if other is not adapter:
                keys = [each.matrices.get(DOWN) or min(each.matrices.values()) for each in (other, adapter)]
                raise LoraError(
                    f"{layout.path}: {keys[0]} and {keys[1]} are both for {layer}. The file is damaged."
                )


def _check_adapter(layout: LoraLayout, adapter: Adapter) -> None:
    matrices = adapter.matrices
    if adapter.is_lokr:
        return  # Its factors may have several forms; they are checked against the network.
    for found, other in ((DOWN, UP), (UP, DOWN)):
        if found in matrices and other not in matrices:
            raise LoraError(f"{layout.path}: {matrices[found]} has no counterpart. The file is damaged.")
    if DOWN not in matrices:
        raise LoraError(f"{layout.path}: {listed(matrices.values())} has no matrices. The file is damaged.")
    down, up = (layout.tensors[matrices[name]].shape for name in (DOWN, UP))
    if len(down) != 2 or len(up) != 2 or down[0] != up[1]:
        raise LoraError(
            f"{layout.path}: {matrices[DOWN]} {down} and {matrices[UP]} {up} differ in rank; the first "
            "must have as many rows as the second has columns. The file is damaged."
        )
