"""Match a LoRA file to the layers of FLUX's networks, from the file's header alone.

So a LoRA for another model, or of a kind that cannot be applied, is refused before anything is computed.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from run_graph.runtime.errors import LoraError
from run_graph.runtime.models import lora_families
from run_graph.runtime.models.components import TRANSFORMER_ONLY, Component
from run_graph.runtime.models.inspection import Tensor, read_header
from run_graph.runtime.models.layouts.storage import FLOATS, format_fault, formats_in, is_auxiliary
from run_graph.runtime.models.lora_adapters import Adapter, check_adapter
from run_graph.runtime.models.lora_files import Lora, lora_digest
from run_graph.runtime.models.lora_layer_names import block_number
from run_graph.runtime.models.lora_names import DOWN, UP, ParsedKey, parse_key
from run_graph.runtime.models.lora_text_names import text_encoder_of

_LISTED = 3  # Names that a message gives of a longer list.
_NOT_APPLIED = "which it is not applied to here"
_STRANGE = "for no layer of "  # before what the reasons of keys begin with that may be refused
_ENCODERS = {"text_encoder": "CLIP", "text_encoder_2": "T5"}


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
    unmatched : dict
        Keys that are not for the networks that it is to change, and why they are not.
    unsupported : dict
        Keys that are for them, but cannot be applied, by what they make of the file.
    components : tuple
        The networks that it is to change.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    adapters: dict[str, Adapter] = field(default_factory=dict)
    unmatched: dict[str, str] = field(default_factory=dict)
    unsupported: dict[str, list[str]] = field(default_factory=dict)
    components: tuple[Component, ...] = TRANSFORMER_ONLY

    def of(self, component: Component) -> list[Adapter]:
        """The adapters of one network."""
        return [each for each in self.adapters.values() if each.layers.component == component]

    @property
    def what(self) -> str:
        """The networks in words."""
        return "FLUX's transformer" if self.components == TRANSFORMER_ONLY else "FLUX's networks"

    @property
    def left_out(self) -> str:
        """The unmatched keys with the reasons; empty if there are none."""
        by_reason: dict[str, list[str]] = defaultdict(list)
        for key, reason in self.unmatched.items():
            by_reason[reason].append(key)
        return "; ".join(f"{listed(keys)} ({reason})" for reason, keys in by_reason.items())


def examine(
    path: Path, skip_unmatched: bool = False, components: tuple[Component, ...] = TRANSFORMER_ONLY
) -> LoraLayout:
    """Match a file's keys to layers and check that they form complete adapters.

    Parameters
    ----------
    path
        A safetensors file.
    skip_unmatched
        Ignore keys that are for no layer of FLUX.1. Those for its other networks are never refused.
    components
        The networks that it is to change.

    Raises
    ------
    LoraError
        If the file cannot be read, if it is not for FLUX.1 or cannot be applied whole, if a key matches no
        layer or lacks its counterpart, or if a pair of matrices differs in rank; the message names the keys.
    """
    try:
        header = read_header(path)
        unknown = format_fault(formats_in(path, header), str(path))
    except (OSError, ValueError) as error:
        raise LoraError(f"The LoRA cannot be read: {error}") from error
    if unknown is not None:
        raise LoraError(unknown)
    layout = LoraLayout(path, header.tensors, components=components)
    for key in layout.tensors:
        if not is_auxiliary(key):
            _place(layout, key, parse_key(key))
    _check_family(layout)
    _check_supported(layout)
    _check_unmatched(layout, skip_unmatched)
    _check_disjoint(layout)
    for adapter in layout.adapters.values():
        check_adapter(adapter, layout.tensors, path)
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
        layout.unmatched[key] = _reason(key, parsed)
    elif parsed.layers is not None:
        adapter = layout.adapters.setdefault(parsed.module, Adapter(parsed.module, parsed.layers))
        other = adapter.matrices.setdefault(parsed.matrix, key)
        if other != key:
            raise LoraError(
                f"{layout.path}: {other} and {key} are both for {parsed.module}. The file is damaged."
            )
    else:
        layout.unsupported.setdefault(parsed.matrix, []).append(key)


def _reason(key: str, parsed: ParsedKey) -> str:
    """Why a key is unmatched."""
    if parsed.kind != "unknown":
        network = _ENCODERS.get(parsed.component, "the transformer")
        return f"for {network}, {_NOT_APPLIED}"
    if key.startswith("bundle_emb."):
        return "a textual-inversion embedding, which FLUX.1's prompts cannot name"
    encoder = text_encoder_of(key)
    if encoder == "text_encoder" and "text_projection" in key:
        return "for CLIP's text projection, which FLUX.1 does not use"
    return f"{_STRANGE}{_ENCODERS[encoder] if encoder else 'FLUX.1'}"


def _check_family(layout: LoraLayout) -> None:
    if (family := lora_families.by_keys(layout.tensors)) is not None:
        others = [*layout.unmatched, *(key for keys in layout.unsupported.values() for key in keys)]
        raise LoraError(
            f"{layout.path} is not a LoRA for FLUX.1 but for {family}, by its keys "
            f"({listed(others or layout.tensors)}). Use one that was made for FLUX.1."
        )
    if (family := lora_families.by_sizes(_sizes(layout))) is not None:
        raise LoraError(
            f"{layout.path} is not a LoRA for FLUX.1 dev or schnell but for {family}, by the sizes and "
            f"numbers of its layers ({listed(layout.tensors)}). Use one that was made for dev or schnell."
        )
    if not (layout.adapters or layout.unsupported or _is_for_other_networks(layout)):
        raise LoraError(
            f"{layout.path} is not a LoRA for FLUX.1: no layer of {layout.what} has the names in its keys "
            f"({layout.left_out or 'it has none'}). Use one that was made for FLUX.1."
        )


def _sizes(layout: LoraLayout) -> lora_families.Sizes:
    """What the layers of the transformer tell about the model."""
    sizes = lora_families.Sizes()
    for adapter in layout.of("transformer"):
        family, number = block_number(adapter.module) or ("", -1)
        sizes.count("single" in family, number)
        if {DOWN, UP} <= adapter.matrices.keys():
            down, up = (layout.tensors[adapter.matrices[name]].shape for name in (DOWN, UP))
            if len(down) == len(up) == 2:
                sizes.see(adapter.layers.names, up[0], down[1])
    return sizes


def _check_supported(layout: LoraLayout) -> None:
    """Refuse what belongs to these networks but cannot be applied, whether or not others are skipped."""
    for form, keys in layout.unsupported.items():
        raise LoraError(
            f"{layout.path} is for FLUX.1, but it {form} ({listed(keys)}), which cannot be applied; without "
            "that it would give another picture. Use a LoRA, DoRA, LoHa or LoKr."
        )
    keys_of_adapters = (key for adapter in layout.adapters.values() for key in adapter.matrices.values())
    if odd := [key for key in keys_of_adapters if layout.tensors[key].dtype not in FLOATS]:
        raise LoraError(
            f"{layout.path} is stored as {layout.tensors[odd[0]].dtype} ({listed(odd)}), which run-graph "
            "does not read. Use a file in float32, float16, bfloat16 or fp8."
        )


def _check_unmatched(layout: LoraLayout, skip_unmatched: bool) -> None:
    strange = [key for key, reason in layout.unmatched.items() if reason.startswith(_STRANGE)]
    if strange and not skip_unmatched:
        raise LoraError(
            f"{layout.path}: {len(strange)} of its {len(layout.tensors)} tensors match no layer of FLUX.1: "
            f'{listed(strange)}. Use another file, or set unmatched to "skip" to apply the rest without them.'
        )


def _is_for_other_networks(layout: LoraLayout) -> bool:
    """Whether some of it is for networks of FLUX.1 that it is not to change."""
    return any(reason.endswith(_NOT_APPLIED) for reason in layout.unmatched.values())


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
