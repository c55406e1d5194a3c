"""Fixtures for every test; those of the database lie in ``tests/fixtures.py``, the model in ``tests/base_model.py``,
servers of object storage in ``tests/object_stores.py``, the count of faults in ``tests/faults.py``, a whole Tunery in
``tests/doors/client.py``."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.base_model", "tests.doors.client", "tests.faults", "tests.fixtures", "tests.object_stores"]

# The machine is shared, so no example is too slow; what hangs is ended by pytest's own limit.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")
