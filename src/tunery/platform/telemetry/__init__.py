"""Logs for people and machines (structlog) and numbers for Prometheus."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from prometheus_client import REGISTRY, Counter, Gauge, Histogram, generate_latest

from tunery.settings import Settings

__all__ = ["ENGINES_RUNNING", "REQUESTS", "REQUEST_SECONDS", "configure_logging", "render_metrics"]

REQUESTS = Counter("tunery_http_requests", "Answered requests", ["operation", "status"])
REQUEST_SECONDS = Histogram("tunery_http_request_seconds", "Seconds until the answer was complete", ["operation"])
ENGINES_RUNNING = Gauge("tunery_engines_running", "Inference engines that are up")


def configure_logging(settings: Settings, stream: TextIO | None = None) -> None:
    """Send log lines to a stream (standard error): coloured for a terminal, JSON otherwise or as the settings say."""
    given, stream = stream, stream or sys.stderr
    people = settings.log_format == "console" or (settings.log_format == "auto" and stream.isatty())
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer() if people else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        # Standard error as it is at the moment: it may have been replaced, and the old one closed.
        logger_factory=lambda *_: structlog.PrintLogger(given or sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream)


def render_metrics() -> bytes:
    """Return all numbers in Prometheus' text format."""
    return generate_latest(REGISTRY)
