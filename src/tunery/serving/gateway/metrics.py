"""Numbers of the gateway, by deployment (``tenant/name``)."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

__all__ = ["FIRST_TOKEN_SECONDS", "REQUESTS", "TOKENS"]

REQUESTS = Counter("tunery_gateway_requests", "Requests that reached an engine", ["deployment", "outcome"])
TOKENS = Counter("tunery_gateway_tokens", "Tokens read and written", ["deployment", "direction"])
FIRST_TOKEN_SECONDS = Histogram(
    "tunery_gateway_first_token_seconds",
    "Seconds from the request to the first text of a streamed answer",
    ["deployment"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
