"""Adapters in the files of diffusers, PEFT and LyCORIS, against those libraries' own layers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="parity oracle: PEFT and LyCORIS run on torch")

from diffusers import FluxTransformer2DModel  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from run_graph.runtime.models.checkpoints import Checkpoint  # noqa: E402
from run_graph.runtime.models.lora_matching import lora_of  # noqa: E402
from run_graph.runtime.models.store import ModelStore  # noqa: E402

LAYERS = [
    "to_q",
    "add_v_proj",
    "to_out.0",
    "proj_mlp",
    "norm.linear",
    "ff.net.0.proj",
    "x_embedder",
    "proj_out",
]
RANKS = {"r": 4, "lora_alpha": 6, "target_modules": LAYERS}
DIFFUSERS: dict[str, dict[str, Any]] = {
    "LoRA": {},
    "rank and alpha patterns": {
        "rank_pattern": {"attn.to_q": 7, "proj_mlp": 2},
        "alpha_pattern": {"attn.to_q": 3, "x_embedder": 16},
    },
    "rsLoRA": {"use_rslora": True},
    "LoRA with a bias": {"lora_bias": True},
    "DoRA": {"use_dora": True},
}
LYCORIS: dict[str, dict[str, Any]] = {
    "LoRA": {"algo": "lora"},
    "LoHa": {"algo": "loha"},
    "LoKr": {"algo": "lokr", "factor": 8, "decompose_both": True},
    "whole LoKr": {"algo": "lokr", "factor": 4, "full_matrix": True},
    "DoRA of rows": {"algo": "lora", "dora_wd": True, "wd_on_output": True},
    "DoRA of columns": {"algo": "lora", "dora_wd": True, "wd_on_output": False},
    "LoHa with magnitudes": {"algo": "loha", "dora_wd": True, "wd_on_output": True},
    "LoKr with magnitudes": {"algo": "lokr", "factor": 4, "dora_wd": True, "wd_on_output": False},
    "differences": {"algo": "full"},
}

Compare = Callable[[Any, Path, str], None]


@pytest.fixture
def reference(small_folder: Path) -> Any:
    return FluxTransformer2DModel.from_pretrained(
        small_folder / "transformer", torch_dtype=torch.float32
    ).eval()


@pytest.fixture
def compare(small_folder: Path, agree) -> Compare:
    """The small model with a file's adapter applied by us, and a reference with the same adapter."""
    rng = np.random.default_rng(0)
    latents, tokens, pooled = (
        rng.standard_normal(shape).astype(np.float32) for shape in ((1, 16, 64), (1, 5, 128), (1, 64))
    )
    store, checkpoint = ModelStore(), Checkpoint("small", folder=small_folder)

    def velocity(*loras: Any) -> mx.array:
        transformer = store.transformer(checkpoint, loras=loras)
        prepared = transformer.prepare(mx.array(tokens), mx.array(pooled), 3.5, height=64, width=64)
        return transformer.velocity(mx.array(latents), 0.7, prepared)

    def check(reference: Any, path: Path, label: str) -> None:
        ids = torch.cartesian_prod(torch.zeros(1), torch.arange(4.0), torch.arange(4.0))
        with torch.no_grad():
            expected = reference(
                hidden_states=torch.from_numpy(latents),
                encoder_hidden_states=torch.from_numpy(tokens),
                pooled_projections=torch.from_numpy(pooled),
                timestep=torch.full((1,), 0.7),
                guidance=torch.full((1,), 3.5),
                txt_ids=torch.zeros(5, 3),
                img_ids=ids,
            ).sample
        found = velocity(lora_of(path, label, 1.0, skip_unmatched=False))
        agree(found, expected, label=label)
        assert mx.abs(found - velocity()).max() > 0.1, "the update is not negligible"

    return check


def randomise(adapted: Any, of_adapters: tuple[str, ...] = ("lora_", "hada_", "lokr_")) -> None:
    """Give every number of the adapters a size that shows in the output."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "magnitude" in name or "dora_scale" in name:
                parameter.mul_(torch.rand(parameter.shape, generator=generator) + 0.5)
            elif any(part in name for part in of_adapters):
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.2)


@pytest.mark.parametrize("name", DIFFUSERS)
def test_what_diffusers_saves(name: str, reference: Any, compare: Compare, tmp_path: Path) -> None:
    """diffusers saves with PEFT's settings as the file's metadata."""
    peft = pytest.importorskip("peft", reason="parity oracle: PEFT's own layers")
    reference.add_adapter(peft.LoraConfig(**RANKS, **DIFFUSERS[name]))
    randomise(reference)
    reference.save_lora_adapter(tmp_path)
    compare(reference, tmp_path / "pytorch_lora_weights.safetensors", f"diffusers: {name}")


@pytest.mark.parametrize("name", ["LoHa", "LoKr"])
def test_what_peft_saves(name: str, reference: Any, compare: Compare, tmp_path: Path) -> None:
    """PEFT saves its settings beside the file."""
    peft = pytest.importorskip("peft", reason="parity oracle: PEFT's own layers")
    alpha = {"LoHa": 6, "LoKr": 4}[name]
    config = getattr(peft, f"{name}Config")(r=4, alpha=alpha, target_modules=LAYERS)
    adapted = peft.get_peft_model(reference, config)
    randomise(adapted)
    adapted.save_pretrained(tmp_path)
    compare(adapted, tmp_path / "adapter_model.safetensors", f"PEFT: {name}")


@pytest.mark.parametrize("name", LYCORIS)
def test_what_lycoris_saves(name: str, reference: Any, compare: Compare, tmp_path: Path) -> None:
    lycoris = pytest.importorskip("lycoris", reason="parity oracle: LyCORIS's own layers")
    lycoris.LycorisNetwork.apply_preset(
        {"target_module": ["FluxTransformerBlock", "FluxSingleTransformerBlock"]}
    )
    network = lycoris.create_lycoris(reference, 1.0, linear_dim=4, linear_alpha=2, **LYCORIS[name])
    network.apply_to()
    randomise(network.eval(), of_adapters=("",))
    tensors = {key: each.contiguous().clone() for key, each in network.state_dict().items()}
    save_file(tensors, tmp_path / "lycoris.safetensors")
    compare(reference, tmp_path / "lycoris.safetensors", f"LyCORIS: {name}")
