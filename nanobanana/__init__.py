"""NanoBanana images through an OpenAI-compatible gateway: a library without torch and without ComfyUI."""
