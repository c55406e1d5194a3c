"""Training methods as plug-ins: each file here registers the one it holds. How to add one: ADDING.md."""
