"""An engine for tests, registered as a stranger's would be: a real child process that tells who answers.

Every answer is ``I am <adapter or base> <text>``, a word a token. A text that begins with ``hold`` sends its first
word, writes the file ``held`` and waits for the file ``go`` in the engine's work folder; when its reader leaves, it
writes the file ``left``. A text that begins with ``die`` ends the process after the first word. Adapters whose folder
holds ``mute`` in their README answer with a fault.
"""

from __future__ import annotations

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tunery.inference.child import ChildEngine, engine_log, start_child
from tunery.inference.lifeline import begin
from tunery.inference.ports import ENGINES, EngineSpec
from tunery.inference.requests import check_request

TEMPLATE_DIGEST = "7" * 64


class Teller:
    """The port ``Engine``; ``started`` lists the adapters of every start."""

    name = "teller"

    def __init__(self) -> None:
        self.started: list[set[str]] = []
        self.running: list[ChildEngine] = []

    def start(self, spec: EngineSpec, *, timeout_seconds: float = 300.0) -> ChildEngine:
        self.started.append({adapter.name for adapter in spec.adapters})
        log_path = engine_log(spec, self.name)
        mute = [held.name for held in spec.adapters if "mute" in _readme(held.dir)]
        order = {"work_dir": str(spec.work_dir), "mute": mute}
        process, url, key = start_child("tests.serving.teller", order, log_path, time.monotonic() + timeout_seconds)
        engine = ChildEngine(self.name, spec, url, key, log_path, TEMPLATE_DIGEST, False, process, _shape)
        self.running.append(engine)
        return engine

    def alive(self) -> list[ChildEngine]:
        """Return the processes that run."""
        return [engine for engine in self.running if engine.alive()]


TELLER = Teller()
ENGINES.register("teller")(TELLER)


def _readme(folder: Path) -> str:
    return (folder / "README.md").read_text() if (folder / "README.md").exists() else ""


def _shape(engine: ChildEngine, body: dict[str, Any], adapter: str | None) -> dict[str, Any]:
    return {**check_request(engine, body, adapter), "adapter": adapter}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    order: dict[str, Any]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._send(200, {"status": "ok"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers["Authorization"] != f"Bearer {self.order['key']}":
            return self._send(401, {"error": {"message": "no"}})
        if body["adapter"] in self.order["mute"]:
            return self._send(500, {"error": {"message": "mute"}})
        text = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        if text.startswith("long"):
            problem = {"message": "too long", "type": "exceed_context_size_error", "code": 400}
            return self._send(400, {"error": problem})
        words = f"I am {body['adapter'] or 'base'} {text}".split(" ")[: body.get("max_tokens")]
        usage = {"prompt_tokens": len(text.split()), "completion_tokens": len(words)}
        usage["total_tokens"] = sum(usage.values())
        if body.get("stream"):
            return self._stream(text, words, usage)
        if text.startswith("hold"):
            self._wait()
        made = " ".join(words)
        choice = {"message": {"role": "assistant", "content": made}} if "messages" in body else {"text": made}
        return self._send(
            200, {"id": "1", "choices": [{"index": 0, **choice, "finish_reason": "stop"}], "usage": usage}
        )

    def _stream(self, text: str, words: list[str], usage: dict[str, int]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for number, word in enumerate(words):
            self._event({"id": "1", "choices": [{"index": 0, "delta": {"content": f"{word} "}}], "timings": {}})
            if number == 0 and text.startswith("hold"):
                self._wait()
            if number == 0 and text.startswith("die"):
                os._exit(9)
        self._event({"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self._event({"id": "1", "choices": [], "usage": usage})
        self.wfile.write(b"data: [DONE]\n\n")

    def _wait(self) -> None:
        folder = Path(self.order["work_dir"])
        (folder / "held").touch()
        while not (folder / "go").exists():
            self.connection.settimeout(0.02)
            try:
                if self.connection.recv(1) == b"":
                    (folder / "left").touch()
                    raise ConnectionResetError
            except TimeoutError:
                continue
        self.connection.settimeout(None)

    def _event(self, chunk: dict[str, Any]) -> None:
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def _send(self, status: int, answer: dict[str, Any]) -> None:
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


def main() -> None:
    """Serve until the parent ends."""
    order, ready = begin()
    _Handler.order = order
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    ready(server.server_address[1])
    threading.Event().wait()


if __name__ == "__main__":
    main()
