"""Fixtures for every test; those of the database lie in ``tests/fixtures.py``, the model in ``tests/base_model.py``."""

pytest_plugins = ["tests.base_model", "tests.fixtures"]
