"""Exports vllm:num_requests_waiting; `PUT /queue/7` makes it 7."""

import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

QUEUE = {"waiting": 0.0}


class Handler(BaseHTTPRequestHandler):
    """One gauge, and a way to set it."""

    def do_GET(self) -> None:
        """Whatever is asked for, the gauge is the answer."""
        self.answer(f"# TYPE vllm:num_requests_waiting gauge\nvllm:num_requests_waiting {QUEUE['waiting']}\n")

    def do_PUT(self) -> None:
        """Set the queue."""
        QUEUE["waiting"] = float(self.path.rsplit("/", 1)[1])
        self.answer("ok\n")

    def answer(self, text: str) -> None:
        """Send 200 and a text."""
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing: probes and scrapes come every second."""


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
