"""ComfyUI's editor format: the file that its front end saves, made into the API format."""
