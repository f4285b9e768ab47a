"""The built-in stages. Importing them loads no model code."""

from run_graph.nodes.flux import DecodeLatent, FluxSample
from run_graph.nodes.image import LoadImage, SaveImage
from run_graph.nodes.loaders import LoadFlux, LoadRedux
from run_graph.nodes.lora import LoadLora
from run_graph.nodes.redux import ConcatConditioning, PatchDownsample, ReduxEncode
from run_graph.nodes.text import TextEncode
from run_graph.nodes.translate import TranslatePrompt
from run_graph.nodes.vision import SiglipEncode

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

if __name__ != "run_graph.nodes":
    raise ImportError("the package is called run_graph: import run_graph.nodes instead of nodes")
