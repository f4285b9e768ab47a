"""How the shipped `tiny` model was made: data, training, export, evaluation.

Not part of the installed package. Each step is one command, in this order (see README.md):

    python -m training.icons       # render the artwork
    python -m training.vae         # the autoencoder
    python -m training.vision      # SigLIP, then frozen
    python -m training.flow        # T5, CLIP, Redux and the transformer, together
    python -m training.export      # diffusers' folder layout, bfloat16
    python -m training.judge       # the classifier that judges pictures
    python -m training.evaluate    # accuracy of the pictures
    python -m training.influence   # prompt against reference, through run-graph
"""
