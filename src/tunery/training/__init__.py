"""Training: runs, methods, checkpoints that resume exactly, and the trained files."""
