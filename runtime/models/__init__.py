"""Models: find, download, check and load checkpoints and LoRAs, and keep them within a memory budget."""

import os

# torch is absent on purpose: only the tokenizers of transformers are used, so its advice is noise.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
