"""SigLIP: from a reference picture to what Redux reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.generation import Reference
from run_graph.runtime.models.handles import Siglip
from run_graph.runtime.values import Image, Vision


class Seen(Outputs):
    vision: Vision = Field(description="SigLIP's hidden state for each patch of the picture.")


class SiglipEncode(Node):
    """Encode a reference picture with SigLIP.

    The picture is first resized to SigLIP's square (384 px for so400m-patch14-384). `crop` scales the shorter
    side to fit and cuts out the middle, as ComfyUI does; `stretch` distorts the picture, as mflux (with
    `lanczos`) and diffusers (with `bicubic`) do; `pad` keeps the whole picture and adds black bars.
    """

    category = "redux"

    siglip: Siglip = Field(description="The vision tower, from LoadRedux.")
    image: Image = Field(description="The reference picture; each picture of a batch is encoded separately.")
    fit: Literal["crop", "stretch", "pad"] = Field(
        default="crop", description="How a picture that is not square becomes square."
    )
    resample: Literal["bicubic", "lanczos"] = Field(
        default="bicubic", description="The resizing kernel; both antialias."
    )

    def run(self, ctx: Context) -> Seen:
        import mlx.core as mx

        from run_graph.runtime.models.store import ModelStore
        from run_graph.runtime.networks import siglip
        from run_graph.runtime.networks.vision_input import siglip_pixels

        tower = ctx.service(ModelStore).get(self.siglip.checkpoint, "image_encoder", self.siglip.quantize)
        size = siglip.image_size(tower.config)
        pixels = mx.array(siglip_pixels(self.image.samples, size, self.fit, self.resample))
        hidden = siglip.encode(tower.module, tower.config, pixels)
        mx.eval(hidden)
        return Seen(vision=Vision(hidden, self._reference()))

    def _reference(self) -> Reference:
        reference = Reference(fit=self.fit, resample=self.resample)
        file = self.image.source
        if file is None:
            return reference
        return replace(reference, path=file.path, background=file.background, frames=file.frames)
