"""Running a workflow on a server: ComfyUI's HTTP and WebSocket interface, from the client's side."""
