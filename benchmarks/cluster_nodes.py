"""Heavy nodes that compute nothing, to measure what sending them costs."""

from __future__ import annotations

from run_graph.graph import Context, Field, Node, Outputs, Registry
from run_graph.runtime.values import Conditioning, Entry, Latent


class Number(Outputs):
    value: int


class Nothing(Node):
    """A number, from a worker."""

    heavy = True

    literal: int = Field(description="The number.")

    def run(self, ctx: Context) -> Number:
        return Number(value=self.literal)


class Encoded(Outputs):
    conditioning: Conditioning


class Encode(Node):
    """A prompt's conditioning of FLUX's size: 512 tokens of 4096 numbers in bfloat16, 4.2 MB."""

    def run(self, ctx: Context) -> Encoded:
        import mlx.core as mx

        entry = Entry(mx.zeros((1, 512, 4096), mx.bfloat16), mx.zeros((1, 768), mx.bfloat16))
        return Encoded(conditioning=Conditioning((entry,)))


class Sampled(Outputs):
    latent: Latent


class Sample(Node):
    """A latent of 1024 x 1024 pixels, float32, 1 MB, from a worker."""

    heavy = True

    conditioning: Conditioning = Field(description="What is sent.")
    literal: int = Field(description="Makes this node unique.")

    def run(self, ctx: Context) -> Sampled:
        import mlx.core as mx

        return Sampled(latent=Latent(mx.zeros((1, 128, 128, 16))))


REGISTRY = Registry([Nothing, Encode, Sample])
