"""The one graph: what came from what."""
