"""Between files, pixels and what a request can carry. Knows no network and no ComfyUI."""
