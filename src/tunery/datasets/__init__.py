"""Datasets: import formats, shapes, sanitising, splits, versions in Delta Lake, provenance."""

from __future__ import annotations

from tunery.datasets.sanitizer import DatasetSanitizer

__all__ = ["DatasetSanitizer"]
