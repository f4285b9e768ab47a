"""Models: find, download, check and load checkpoints and LoRAs, and keep them within a memory budget."""

import os

# torch is absent on purpose: mflux and mlx-lm need only the tokenizers of transformers; its advice is noise.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
