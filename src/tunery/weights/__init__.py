"""Formats of model bytes: read and check headers, convert between safetensors and GGUF, merge adapters.

Pure functions over files and folders; no database, no HTTP.
"""
