"""An entry of a conditioning: what FLUX is conditioned on, and where, when and how strongly that holds.

ComfyUI's conditioning is a list of entries, each of which is one prediction of the model at each step. Native
nodes make conditionings of one entry that holds everywhere and always.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from run_graph.runtime.array_value import ArrayValue, Promise
from run_graph.runtime.generation import Reference

if TYPE_CHECKING:
    import mlx.core as mx
    import numpy as np
    import numpy.typing as npt


@dataclass(frozen=True, eq=False, repr=False)
class Entry(ArrayValue):
    """One entry.

    Attributes
    ----------
    tokens : array (1, N, D)
        The prompt's T5 tokens, then those of each reference picture.
    pooled : array (1, P)
        CLIP's pooled vector of the prompt.
    prompt : str
    references : tuple of Reference
        In the order of their tokens.
    warnings : tuple of str
        What of the prompt was not read as it was meant.
    guidance : float or None
        For the guidance embedder; None leaves it to whoever samples.
    is_guided : bool
        False leaves the guidance embedding out, as ComfyUI's FluxDisableGuidance does.
    attention_bias : float16 array (1, T, T) or None
        Added to the logits of every attention, T = N + 1: the last row and column stand for all image tokens.
    mask : float32 array (B, H, W) or None
        Where the entry holds, at any size.
    mask_strength : float
    mask_bounds : bool
        Whether only the box around the mask is sampled, rather than the whole picture.
    area : (height, width, top, left) or None
        Where it holds: in cells of 8 pixels, or in shares of the picture's sides if `area_is_share`.
    area_is_share : bool
    strength : float
        Weight of its prediction among those of other entries.
    start, end : float
        The part of the sampling during which it holds, 0 to 1.
    reference_latents : tuple of arrays (1, h, w, 16)
        Pictures that the model sees beside the one it samples (Kontext).
    """

    promises: ClassVar[Mapping[str, Promise]] = {
        "tokens": Promise((1, "tokens", "width")),
        "pooled": Promise((1, "width")),
    }

    tokens: mx.array
    pooled: mx.array
    prompt: str = ""
    references: tuple[Reference, ...] = ()
    warnings: tuple[str, ...] = ()
    guidance: float | None = None
    is_guided: bool = True
    attention_bias: npt.NDArray[np.float16] | None = None
    mask: npt.NDArray[np.float32] | None = None
    mask_strength: float = 1.0
    mask_bounds: bool = False
    area: tuple[float, float, float, float] | None = None
    area_is_share: bool = False
    strength: float = 1.0
    start: float = 0.0
    end: float = 1.0
    reference_latents: tuple[mx.array, ...] = ()

    @property
    def is_plain(self) -> bool:
        """Whether it holds everywhere and always, with full strength and attention."""
        return (
            self.mask is None
            and self.area is None
            and self.attention_bias is None
            and not self.reference_latents
            and (self.strength, self.start, self.end) == (1.0, 0.0, 1.0)
        )

    @property
    def nbytes(self) -> int:
        arrays = (self.tokens, self.pooled, self.mask, self.attention_bias, *self.reference_latents)
        return sum(int(array.nbytes) for array in arrays if array is not None)


@dataclass(frozen=True, eq=False, repr=False)
class Conditioning(ArrayValue):
    """What FLUX is conditioned on: entries whose predictions are averaged; native nodes make one.

    Attributes
    ----------
    entries : tuple of Entry
        At least one.
    """

    socket_type: ClassVar[str] = "CONDITIONING"

    entries: tuple[Entry, ...]

    def seal(self) -> None:
        if not self.entries:
            raise ValueError("a conditioning has no entries")
        for entry in self.entries:
            entry.seal()

    @classmethod
    def of(
        cls, tokens: mx.array, pooled: mx.array, prompt: str, warnings: tuple[str, ...] = ()
    ) -> Conditioning:
        """One entry for a prompt, which holds everywhere and always."""
        return cls((Entry(tokens, pooled, prompt, warnings=warnings),))

    @property
    def only(self) -> Entry:
        """Its entry.

        Raises
        ------
        ValueError
            If there are several, or it holds only somewhere or for a time: a node that samples for one prompt
            cannot do that; ComfyUI's samplers can.
        """
        if len(self.entries) != 1 or not self.entries[0].is_plain:
            raise ValueError(
                "the conditioning has several entries, or one with a mask, an area, a range of steps, an "
                "attention bias or a reference latent; sample it with KSampler or SamplerCustomAdvanced"
            )
        return self.entries[0]

    def with_entries(self, change: Callable[[Entry], Entry]) -> Conditioning:
        """The conditioning with each entry changed."""
        return Conditioning(tuple(change(entry) for entry in self.entries))

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self.entries)

    def __repr__(self) -> str:
        return f"Conditioning of {', '.join(map(repr, self.entries))}"
