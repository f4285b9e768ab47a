"""ComfyUI's own nodes, by family: each class is ComfyUI's node of the same name.

docs/comfyui.md says where they differ from our own.
"""

from run_graph.nodes.comfyui import (
    autoencoder,
    composites,
    conditioning,
    filters,
    gguf_loaders,
    guiders,
    latent_batches,
    latent_files,
    latent_mixing,
    latents,
    lora_loaders,
    masks,
    model_loaders,
    model_patches,
    model_sampling,
    noise,
    picture_files,
    pictures,
    prompts,
    samplers,
    sampling,
    scaling,
    schedulers,
    sigmas,
    values,
)
from run_graph.nodes.comfyui.autoencoder import *  # noqa: F403
from run_graph.nodes.comfyui.composites import *  # noqa: F403
from run_graph.nodes.comfyui.conditioning import *  # noqa: F403
from run_graph.nodes.comfyui.filters import *  # noqa: F403
from run_graph.nodes.comfyui.gguf_loaders import *  # noqa: F403
from run_graph.nodes.comfyui.guiders import *  # noqa: F403
from run_graph.nodes.comfyui.latent_batches import *  # noqa: F403
from run_graph.nodes.comfyui.latent_files import *  # noqa: F403
from run_graph.nodes.comfyui.latent_mixing import *  # noqa: F403
from run_graph.nodes.comfyui.latents import *  # noqa: F403
from run_graph.nodes.comfyui.lora_loaders import *  # noqa: F403
from run_graph.nodes.comfyui.masks import *  # noqa: F403
from run_graph.nodes.comfyui.model_loaders import *  # noqa: F403
from run_graph.nodes.comfyui.model_patches import *  # noqa: F403
from run_graph.nodes.comfyui.model_sampling import *  # noqa: F403
from run_graph.nodes.comfyui.noise import *  # noqa: F403
from run_graph.nodes.comfyui.picture_files import *  # noqa: F403
from run_graph.nodes.comfyui.pictures import *  # noqa: F403
from run_graph.nodes.comfyui.prompts import *  # noqa: F403
from run_graph.nodes.comfyui.samplers import *  # noqa: F403
from run_graph.nodes.comfyui.sampling import *  # noqa: F403
from run_graph.nodes.comfyui.scaling import *  # noqa: F403
from run_graph.nodes.comfyui.schedulers import *  # noqa: F403
from run_graph.nodes.comfyui.sigmas import *  # noqa: F403
from run_graph.nodes.comfyui.values import *  # noqa: F403

COMFYUI_FAMILIES = (
    picture_files,
    pictures,
    scaling,
    filters,
    composites,
    masks,
    prompts,
    conditioning,
    model_sampling,
    model_patches,
    samplers,
    schedulers,
    sigmas,
    noise,
    guiders,
    sampling,
    values,
    latents,
    latent_batches,
    latent_mixing,
    latent_files,
    autoencoder,
    model_loaders,
    gguf_loaders,
    lora_loaders,
)
