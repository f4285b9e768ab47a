"""Write what the self-test compares with: runtime/doctor/references/.

Run from the repository root, on a CPU, after the built-in model's weights have changed:
python tests/runtime/doctor/make_references.py
"""

import numpy as np
from PIL import Image
from safetensors.numpy import save_file

from run_graph.runtime.doctor import reference
from run_graph.runtime.models.store import ModelStore

if __name__ == "__main__":
    store = ModelStore()
    reference.networks_file().parent.mkdir(exist_ok=True)
    save_file(reference.network_outputs(store), reference.networks_file())
    for name in reference.PICTURES:
        pixels = np.round(reference.picture(store, name) * 255).astype(np.uint8)
        Image.fromarray(pixels).save(reference.picture_file(name), optimize=True)
