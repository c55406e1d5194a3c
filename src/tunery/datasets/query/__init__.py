"""SQL over datasets, read by DuckDB in a process of its own that sees the rows' files and nothing else."""
