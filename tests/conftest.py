"""Fixtures for every test; those of the database lie in ``tests/fixtures.py``, the model in ``tests/base_model.py``,
servers of object storage in ``tests/object_stores.py``, the count of faults in ``tests/faults.py``."""

pytest_plugins = ["tests.base_model", "tests.faults", "tests.fixtures", "tests.object_stores"]
