"""The HTTP door: what belongs to no single room."""
