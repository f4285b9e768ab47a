"""The shipped checkpoint: whole, small, light to name, and drawing what it is asked for."""

import hashlib
import json
import subprocess
import sys

from run_graph.runtime.models.tiny import TINY_FOLDER, tiny_digest

FOLDERS = {
    "transformer",
    "vae",
    "text_encoder",
    "text_encoder_2",
    "tokenizer",
    "tokenizer_2",
    "image_encoder",
    "image_embedder",
    "scheduler",
}


def test_it_has_every_folder_of_the_published_layout() -> None:
    assert {path.name for path in TINY_FOLDER.iterdir() if path.is_dir()} == FOLDERS
    index = json.loads((TINY_FOLDER / "model_index.json").read_text())
    assert index["_class_name"] == "FluxPipeline"


def test_the_manifest_names_every_file_with_its_size_and_digest() -> None:
    entries = json.loads((TINY_FOLDER / "manifest.json").read_text())
    found = {
        path.relative_to(TINY_FOLDER).as_posix(): [
            path.stat().st_size,
            hashlib.sha256(path.read_bytes()).hexdigest(),
        ]
        for path in TINY_FOLDER.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }
    assert entries == found


def test_all_of_it_is_at_most_12_megabytes() -> None:
    assert sum(path.stat().st_size for path in TINY_FOLDER.rglob("*") if path.is_file()) <= 12_000_000


def test_its_digest_is_that_of_its_manifest() -> None:
    manifest = (TINY_FOLDER / "manifest.json").read_bytes()
    assert tiny_digest() == hashlib.sha256(manifest).hexdigest()[:12]


def test_naming_it_loads_neither_mlx_nor_numpy() -> None:
    heavy = "[name for name in ('mlx', 'mflux', 'numpy') if name in sys.modules]"
    program = f"import sys, run_graph.runtime.models.tiny; print({heavy})"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "[]"
