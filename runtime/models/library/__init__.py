"""The models that the user has as single files, in folders like ComfyUI's: where and what they are."""
