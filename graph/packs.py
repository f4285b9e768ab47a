"""The packages of frequent node classes of ComfyUI that are not here, for messages.

ComfyUI's files often say it themselves (:attr:`graph.workflow.NodeSpec.pack`); API files rarely do.
"""

from __future__ import annotations

from collections.abc import Mapping

COMFYUI_ITSELF = "comfy-core"
"""What ComfyUI's files call the package of its own nodes."""

_CLASSES: Mapping[str, tuple[str, ...]] = {
    COMFYUI_ITSELF: (
        "BatchImagesNode",
        "CFGNorm",
        "CLIPSetLastLayer",
        "CLIPTextEncodeSDXL",
        "Canny",
        "ControlNetApply",
        "ControlNetApplyAdvanced",
        "ControlNetLoader",
        "CreateVideo",
        "EmptyFlux2LatentImage",
        "FluxKontextMultiReferenceLatentMethod",
        "FreeU_V2",
        "GetVideoComponents",
        "ImageUpscaleWithModel",
        "InstructPixToPixConditioning",
        "LoadAudio",
        "LoadVideo",
        "ModelSamplingAuraFlow",
        "ModelSamplingDiscrete",
        "ModelSamplingSD3",
        "RebatchImages",
        "ReferenceLatent",
        "ResizeImageMaskNode",
        "ResolutionSelector",
        "SaveAudioAdvanced",
        "SaveGLB",
        "SaveImageAdvanced",
        "SaveText",
        "SaveVideo",
        "SetUnionControlNetType",
        "TextGenerate",
        "TripleCLIPLoader",
        "UpscaleModelLoader",
        "unCLIPConditioning",
    ),
    "XLabs-AI/x-flux-comfyui": (
        "ApplyFluxControlNet",
        "ApplyFluxIPAdapter",
        "LoadFluxControlNet",
        "LoadFluxIPAdapter",
        "XlabsSampler",
    ),
    "Shakker-Labs/ComfyUI-IPAdapter-Flux": ("ApplyIPAdapterFlux", "IPAdapterFluxLoader"),
    "chrisgoringe/cg-use-everywhere": (
        "Anything Everywhere",
        "Anything Everywhere3",
        "Prompts Everywhere",
        "Seed Everywhere",
    ),
    "logtd/ComfyUI-Fluxtapoz": (
        "ConfigureModifiedFlux",
        "FlowEditForwardSampler",
        "FlowEditReverseSampler",
        "FluxDeGuidance",
        "FluxForwardODESampler",
        "FluxReverseODESampler",
        "InFluxModelSamplingPred",
        "OutFluxModelSamplingPred",
        "PrepareAttnBank",
    ),
    "balazik/ComfyUI-PuLID-Flux": (
        "ApplyPulidFlux",
        "PulidFluxEvaClipLoader",
        "PulidFluxInsightFaceLoader",
        "PulidFluxModelLoader",
    ),
    "city96/ComfyUI-GGUF": ("QuadrupleCLIPLoaderGGUF", "TripleCLIPLoaderGGUF"),
    "ClownsharkBatwing/RES4LYF": ("FluxLoader", "ReFluxPatcher", "TorchCompileModels", "VAEEncodeAdvanced"),
    "cubiq/ComfyUI_IPAdapter_plus": (
        "IPAdapterModelLoader",
        "IPAdapterUnifiedLoader",
        "IPAdapterUnifiedLoaderFaceID",
        "PrepImageForClipVision",
    ),
    "Fannovel16/comfyui_controlnet_aux": (
        "AIO_Preprocessor",
        "AnyLineArtPreprocessor_aux",
        "CannyEdgePreprocessor",
        "DepthAnythingPreprocessor",
        "DepthAnythingV2Preprocessor",
        "DWPreprocessor",
        "HEDPreprocessor",
        "MiDaS-DepthMapPreprocessor",
    ),
    "Jonseed/ComfyUI-Detail-Daemon": ("DetailDaemonSamplerNode",),
    "kijai/ComfyUI-Florence2": ("DownloadAndLoadFlorence2Model", "Florence2Run"),
    "kijai/ComfyUI-KJNodes": (
        "ColorMatch",
        "CreateShapeMask",
        "GetImageSizeAndCount",
        "GetNode",
        "GrowMaskWithBlur",
        "INTConstant",
        "ImageConcanate",
        "ImageConcatMulti",
        "ImagePass",
        "ImageResizeKJ",
        "SetNode",
        "StyleModelApplyAdvanced",
        "WidgetToString",
    ),
    "lrzjason/Comfyui-In-Context-Lora-Utils": ("ConcatContextWindow", "CreateContextWindow"),
    "ltdrdata/ComfyUI-Impact-Pack": (
        "DetailerForEachPipe",
        "FromBasicPipe_v2",
        "MaskToSEGS",
        "PreviewBridge",
        "ToBasicPipe",
    ),
    "shiimizu/ComfyUI-TiledDiffusion": ("TiledDiffusion",),
    "ssitu/ComfyUI_UltimateSDUpscale": ("UltimateSDUpscale", "UltimateSDUpscaleNoUpscale"),
    "WASasquatch/was-node-suite-comfyui": ("Create Grid Image from Batch", "Image Save", "Text Multiline"),
}
_PACKS = {class_type: pack for pack, classes in _CLASSES.items() for class_type in classes}

# Packages that mark their classes' names.
_BEGINNINGS = {
    "ADE_": "Kosinkadink/ComfyUI-AnimateDiff-Evolved",
    "CR ": "Suzie1/ComfyUI_Comfyroll_CustomNodes",
    "Clown": "ClownsharkBatwing/RES4LYF",
    "Eden_": "edenartlab/eden_comfy_pipelines",
    "Impact": "ltdrdata/ComfyUI-Impact-Pack",
    "Nunchaku": "nunchaku-tech/ComfyUI-nunchaku",
    "SharkOptions_": "ClownsharkBatwing/RES4LYF",
    "VHS_": "Kosinkadink/ComfyUI-VideoHelperSuite",
    "easy ": "yolain/ComfyUI-Easy-Use",
}
_ENDS = {
    " (mtb)": "melMass/comfy_mtb",
    " (rgthree)": "rgthree/rgthree-comfy",
    " (segment anything)": "storyicon/comfyui_segment_anything",
    " //Inspire": "ltdrdata/ComfyUI-Inspire-Pack",
    " [Crystools]": "crystian/ComfyUI-Crystools",
    "+": "cubiq/ComfyUI_essentials",
    "|pysssss": "pythongosssss/ComfyUI-Custom-Scripts",
}


def pack_of(class_type: str, written: str | None = None) -> str | None:
    """The package that has a class: as the file says, else as this table does; None if neither knows.

    It is a name in ComfyUI's registry, or on GitHub as owner/name.
    """
    if written:
        return written
    if class_type in _PACKS:
        return _PACKS[class_type]
    marks = [pack for start, pack in _BEGINNINGS.items() if class_type.startswith(start)]
    marks += [pack for end, pack in _ENDS.items() if class_type.endswith(end)]
    return marks[0] if marks else None
