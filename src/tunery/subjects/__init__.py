"""Persons in the data: what saw their rows, and how these are erased for good."""
