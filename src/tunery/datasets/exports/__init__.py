"""Copies of versions for other programs: rows in one file, or the Delta table with its whole history."""
