"""Schema migrations, run by ``tunery.platform.db.migrate``."""
