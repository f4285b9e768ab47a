"""Files of weights as other programs lay them out.

One file may hold one network or several, under the names of diffusers and transformers, of the original FLUX
code, or of latent diffusion; its numbers may be stored in formats that MLX does not compute with. Here it is
told what a file holds (`recognition`, `foreign`, from its header alone), where each of its tensors belongs
(`original`, `latent_diffusion`, `in_memory`), and how its numbers are read (`stored`, `storage`, `decoding`).
"""
