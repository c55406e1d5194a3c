"""Fixtures for every test; those of the database lie in ``tests/fixtures.py``."""

pytest_plugins = ["tests.fixtures"]
