"""What is loaded, held and computed on MLX."""

import os

# torch is absent on purpose; transformers, of which only tokenizers are used, need not advise it.
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
