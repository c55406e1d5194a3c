"""The store as people use it: uploads that can be gone on with, quotas, upkeep."""
