"""How a job's events read as a line."""

from __future__ import annotations

from typing import Any

from tunery.cli.output import plain_text
from tunery.kit.units import format_seconds

__all__ = ["event_line", "share_of"]


def event_line(event: dict[str, Any]) -> str:
    """Return an event as one line of text; kinds that are not known show their fields."""
    if isinstance(event.get("step"), int) and event.get("type") in (None, "progress"):
        parts = [f"step {event['step']}" + (f" of {event['total_steps']}" if event.get("total_steps") else "")]
        if isinstance(event.get("loss"), int | float):
            parts.append(f"loss {event['loss']:.4f}")
        if isinstance(event.get("tokens_per_second"), int | float):
            parts.append(f"{event['tokens_per_second']:.0f} tokens/s")
        if isinstance(event.get("remaining_seconds"), int | float):
            parts.append(f"{format_seconds(event['remaining_seconds'])} left")
        return ", ".join(parts)
    text = event.get("text") or event.get("message")
    if isinstance(event.get("done"), int) and event.get("total"):
        text = f"{event['done']} of {event['total']}" + (f" {text}" if text else "")
    if not text:
        text = ", ".join(f"{k} {v}" for k, v in event.items() if k != "type" and isinstance(v, str | int | float))
        text = f"{event.get('type', '')}: {text}".strip(": ")
    return plain_text(str(text)).replace("\n", " ")


def share_of(event: dict[str, Any]) -> float | None:
    """Return how much of its work an event says is done, 0 to 1, or None where it does not say."""
    for done, total in (("step", "total_steps"), ("done", "total")):
        part, whole = event.get(done), event.get(total)
        if isinstance(part, int | float) and isinstance(whole, int | float) and whole > 0:
            return min(1.0, max(0.0, part / whole))
    return None
