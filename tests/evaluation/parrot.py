"""An engine for tests, registered as a stranger's would be: a real HTTP server whose model is a rule.

It answers ``in <number>`` with ``out <number>``, and is wrong by rule: the base on every number that 3 does not divide,
an adapter on those that 5 divides. Text is scored at ln(1/2) a word by the base and ln(4/5) by an adapter.
"""

from __future__ import annotations

import json
import math
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tunery.inference.ports import EngineSpec

BASE_LOGPROB, ADAPTER_LOGPROB = math.log(1 / 2), math.log(4 / 5)


def parrot_answer(number: int, adapter: bool) -> str:
    """The rule."""
    right = number % 5 != 0 if adapter else number % 3 == 0
    return f"out {number}" if right else "no idea"


@dataclass(eq=False)
class RunningParrot:
    """The port ``RunningEngine``."""

    spec: EngineSpec
    server: ThreadingHTTPServer
    can_score: bool
    name: str = "parrot"
    key: str = "key"
    pid: int = 0
    log_path: Path = Path("parrot.log")
    template_digest: str | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def alive(self) -> bool:
        return True

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def request(self, body: dict[str, Any], adapter: str | None) -> dict[str, Any]:
        return {**body, "adapter": adapter}

    def __enter__(self) -> RunningParrot:
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()


class _Server(ThreadingHTTPServer):
    # With the usual five, a client whose connection does not fit in waits until its timeout.
    request_queue_size = 128


@dataclass
class Parrot:
    """The port ``Engine``.

    Attributes:
        can_score: Whether its processes score texts.
        fails_after: Number of answers after which it answers with a fault.
        refuses: Numbers that it refuses to be asked about.
        asked: What it was asked, in order of arrival.
    """

    can_score: bool = True
    fails_after: int | None = None
    refuses: set[int] = field(default_factory=set)
    asked: list[dict[str, Any]] = field(default_factory=list)
    starts: int = 0
    name: str = "parrot"

    def start(self, spec: EngineSpec, *, timeout_seconds: float = 300.0) -> RunningParrot:
        self.starts += 1
        parrot = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = parrot.respond(self.path, body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return RunningParrot(spec, server, self.can_score)

    def respond(self, path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        text = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        number = int(([-1, *re.findall(r"in (\d+)", text)])[-1])
        if number in self.refuses:
            return 400, {"error": {"message": "longer than the context"}}
        if self.fails_after is not None and len(self.asked) >= self.fails_after:
            return 500, {"error": {"message": "broken"}}
        self.asked.append(body)
        adapter = body.get("adapter") is not None
        if path == "/score":
            return 200, {"logprobs": [ADAPTER_LOGPROB if adapter else BASE_LOGPROB] * len(body["completion"].split())}
        made = parrot_answer(number, adapter)
        choice = {"message": {"content": made}} if "messages" in body else {"text": made}
        usage = {"prompt_tokens": len(text.split()), "completion_tokens": len(made.split())}
        return 200, {"choices": [{**choice, "finish_reason": "stop"}], "usage": usage}
