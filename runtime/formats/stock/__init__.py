"""A workflow of run-graph's own nodes as one of ComfyUI's nodes, for ``--export-comfyui``.

``export`` goes through the nodes in order, ``rules`` and ``redux_rules`` say what each of ours becomes,
``rewriting`` holds the state, and ``model_files`` knows the names of ComfyUI's files.
"""
