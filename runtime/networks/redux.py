"""Redux: project SigLIP's patches into FLUX's text-token space."""

from typing import Any

import mlx.core as mx

from run_graph.runtime.networks.elementwise import silu


def project(module: Any, hidden: mx.array) -> mx.array:
    """Linear, SiLU, Linear with mflux's `ReduxEncoder`: (B, T, vision width) -> (B, T, text width)."""
    hidden = hidden.astype(module.redux_down.bias.dtype)
    tokens: mx.array = module.redux_down(silu(module.redux_up(hidden)))
    return tokens
