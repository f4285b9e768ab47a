"""The built-in stages. Importing them loads no model code."""

from nodes.flux import DecodeLatent, FluxSample
from nodes.image import LoadImage, SaveImage
from nodes.loaders import LoadFlux, LoadRedux
from nodes.lora import LoadLora
from nodes.redux import ConcatConditioning, PatchDownsample, ReduxEncode
from nodes.text import TextEncode
from nodes.translate import TranslatePrompt
from nodes.vision import SiglipEncode

NODES = [
    LoadImage,
    LoadFlux,
    LoadLora,
    LoadRedux,
    SiglipEncode,
    ReduxEncode,
    PatchDownsample,
    TextEncode,
    TranslatePrompt,
    ConcatConditioning,
    FluxSample,
    DecodeLatent,
    SaveImage,
]

__all__ = [
    "NODES",
    "ConcatConditioning",
    "DecodeLatent",
    "FluxSample",
    "LoadFlux",
    "LoadImage",
    "LoadLora",
    "LoadRedux",
    "PatchDownsample",
    "ReduxEncode",
    "SaveImage",
    "SiglipEncode",
    "TextEncode",
    "TranslatePrompt",
]
