"""Elementwise functions shared by the networks: activations and adaptive-norm arithmetic.

On a GPU each is one fused kernel (`mx.compile`). On MLX's CPU backend it remains a chain of ordinary
operations, because compiling there runs a C++ compiler for about a second per function and saves no time.
"""

import math
from collections.abc import Callable
from typing import TypeVar, cast

import mlx.core as mx

from run_graph.runtime.errors import CheckpointError
from run_graph.runtime.networks import cpu

Activation = Callable[[mx.array], mx.array]
ArrayFunction = TypeVar("ArrayFunction", bound=Callable[..., mx.array])


def fused(function: ArrayFunction, *, shapeless: bool = True) -> ArrayFunction:
    """Compile `function` if MLX's default device is a GPU.

    `shapeless` compiles once for all shapes; functions that slice or reshape cannot be compiled that way.
    """
    if mx.default_device().type == mx.DeviceType.gpu:
        return cast(ArrayFunction, mx.compile(function, shapeless=shapeless))
    return function


def gelu_tanh(x: mx.array) -> mx.array:
    """GELU's tanh approximation (Hendrycks & Gimpel, arXiv 1606.08415)."""
    computed = cpu.gelu_tanh(x)
    return _gelu_tanh(x) if computed is None else computed


@fused
def _gelu_tanh(x: mx.array) -> mx.array:
    # x * x * x, because the general power function takes 1.5 times as long.
    return 0.5 * x * (1 + mx.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * (x * x * x))))


@fused
def gelu(x: mx.array) -> mx.array:
    """GELU with the exact Gaussian cumulative distribution."""
    return 0.5 * x * (1 + mx.erf(x / math.sqrt(2)))


def quick_gelu(x: mx.array) -> mx.array:
    """GELU's sigmoid approximation, as CLIP was trained with."""
    return swish(x, 1.702)


def silu(x: mx.array) -> mx.array:
    """x * sigmoid(x)."""
    return swish(x, 1.0)


def swish(x: mx.array, slope: float) -> mx.array:
    """x * sigmoid(slope * x) (Ramachandran et al., arXiv 1710.05941)."""
    computed = cpu.swish(x, slope)
    return _swish(x, slope) if computed is None else computed


@fused
def _swish(x: mx.array, slope: float) -> mx.array:
    return x * mx.sigmoid(slope * x)


@fused
def modulate(x: mx.array, shift: mx.array, scale: mx.array) -> mx.array:
    """Adaptive norm's affine part, `x (1 + scale) + shift`: x (B, N, D), shift and scale (B, 1, D)."""
    return x * (1 + scale) + shift


@fused
def gated_add(x: mx.array, gate: mx.array, update: mx.array) -> mx.array:
    """Residual update `x + gate * update`: x and update (B, N, D), gate (B, 1, D)."""
    return x + gate * update


_ACTIVATIONS: dict[str, Activation] = {
    "gelu": gelu,
    "gelu_new": gelu_tanh,
    "gelu_pytorch_tanh": gelu_tanh,
    "quick_gelu": quick_gelu,
    "silu": silu,
}


def activation(name: str) -> Activation:
    """The activation that a transformers `config.json` calls `name`.

    Raises
    ------
    CheckpointError
        If the networks of FLUX.1 + Redux do not use an activation of that name.
    """
    try:
        return _ACTIVATIONS[name]
    except KeyError:
        known = ", ".join(_ACTIVATIONS)
        raise CheckpointError(
            f"config.json asks for the activation {name!r}, which is not one of {known}. "
            "The checkpoint is for another kind of model, or its config.json is damaged."
        ) from None
