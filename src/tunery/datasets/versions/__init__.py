"""Versions of datasets: rows in files of the store, a Delta log that says which files make up a version."""
