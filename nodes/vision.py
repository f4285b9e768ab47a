"""Seeing a reference picture."""

from __future__ import annotations

from typing import Literal

from run_graph.graph import Context, Field, Node, Outputs
from run_graph.runtime.generation import Reference
from run_graph.runtime.models.handles import Siglip
from run_graph.runtime.values import Image, Vision


class Seen(Outputs):
    vision: Vision = Field(description="What SigLIP makes of each patch of the picture.")


class SiglipEncode(Node):
    """See a picture with SigLIP.

    The picture is first brought to SigLIP's square (384 px for so400m-patch14-384). `crop` scales the
    shorter side and cuts out the middle, as ComfyUI does; `stretch` squashes, as mflux (with `lanczos`) and
    diffusers (with `bicubic`) do; `pad` keeps all of it between black bars.
    """

    category = "redux"

    siglip: Siglip = Field(description="The vision tower, from LoadRedux.")
    image: Image = Field(description="The reference picture. Of a batch, each picture is seen by itself.")
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
        pixels = mx.array(siglip_pixels(self.image.pixels, size, self.fit, self.resample))
        hidden = siglip.encode(tower.module, tower.config, pixels)
        mx.eval(hidden)
        return Seen(vision=Vision(hidden, Reference(self.image.source, self.fit, self.resample)))
