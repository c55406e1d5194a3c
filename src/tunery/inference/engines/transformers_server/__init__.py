"""The transformers engine's process: an OpenAI-compatible HTTP server over one model and its adapters."""
