"""The terminal door: one module a noun."""
