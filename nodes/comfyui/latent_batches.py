"""Latent pictures in batches: taken out, repeated and joined, as ComfyUI does it."""

from __future__ import annotations

from dataclasses import replace

from run_graph.graph import Context, Field, Node
from run_graph.nodes.comfyui.latents import Latents, array_of
from run_graph.nodes.comfyui.pictures import MAX_SIDE
from run_graph.runtime.values import Latent


class LatentFromBatch(Node):
    """Pick some of a batch of latent pictures. A sampler gives each the noise of its place in the batch."""

    category = "comfyui/latent/batch"

    samples: Latent = Field(description="The latent pictures.")
    batch_index: int = Field(
        default=0,
        ge=-MAX_SIDE,
        le=MAX_SIDE,
        description="The first one to pick, counted from 0, or from the end if negative; one that does not "
        "exist becomes the nearest that does.",
    )
    length: int = Field(default=1, ge=1, le=64, description="How many, if there are as many.")

    def run(self, ctx: Context) -> Latents:
        from run_graph.runtime.sampling.latent_operations import first_picked, picked

        latent, count = self.samples, self.samples.samples.shape[0]
        start = first_picked(self.batch_index, count)
        end = min(start + self.length, count)
        places = latent.batch_index or tuple(range(count))
        mask = latent.noise_mask
        made = replace(
            latent,
            samples=latent.samples[start:end],
            batch_index=places[start:end],
            noise_mask=None if mask is None else picked(mask, start, end - start, count),
            generation=latent.generation and latent.generation.of_picture(start),
        )
        return Latents(latent=made)


class RepeatLatentBatch(Node):
    """Repeat a batch of latent pictures, the whole batch each time."""

    category = "comfyui/latent/batch"

    samples: Latent = Field(description="The latent pictures.")
    amount: int = Field(default=1, ge=1, le=64, description="How many times there are in the end.")

    def run(self, ctx: Context) -> Latents:
        import mlx.core as mx
        import numpy as np

        from run_graph.runtime.images.room import require_room
        from run_graph.runtime.sampling.latent_operations import numbered_on

        latent, amount = self.samples, self.amount
        batch, *cells = latent.samples.shape
        require_room((batch * amount, *cells), "latent cells")
        mask, places = latent.noise_mask, latent.batch_index
        made = replace(
            latent,
            samples=mx.tile(latent.samples, (amount, 1, 1, 1)),
            batch_index=None if places is None else numbered_on(places, amount),
            noise_mask=np.tile(mask, (amount, 1, 1)) if mask is not None and len(mask) > 1 else mask,
        )
        return Latents(latent=made)


class LatentBatch(Node):
    """Put latent pictures into one batch; the second ones are cut and resized (bilinear) to the first's size.

    Each keeps its place in its own batch for a sampler's noise. A mask is the first ones'.
    """

    category = "comfyui/latent/batch"

    samples1: Latent = Field(description="The first latent pictures.")
    samples2: Latent = Field(description="The second latent pictures.")

    def run(self, ctx: Context) -> Latents:
        import mlx.core as mx
        import numpy as np

        from run_graph.runtime.sampling.latent_operations import like

        first, second = array_of(self.samples1), array_of(self.samples2)
        joined = np.concatenate([first, like(second, first, whole_batch=False)])
        places = [
            latent.batch_index or tuple(range(latent.samples.shape[0]))
            for latent in (self.samples1, self.samples2)
        ]
        made = replace(
            self.samples1, samples=mx.array(joined), batch_index=places[0] + places[1], generation=None
        )
        return Latents(latent=made)
