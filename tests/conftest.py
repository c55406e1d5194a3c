"""Fixtures for every test: those of the database lie in ``tests/fixtures.py``, the real model in ``tests/base_model.py``."""

pytest_plugins = ["tests.base_model", "tests.fixtures"]
