"""``run-graph serve``: ComfyUI's HTTP and WebSocket interface over one session, with a queue on disk."""
