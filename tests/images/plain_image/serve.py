"""Answers 200 on port 8000, or 503 while /tmp/sick exists; ends on SIGTERM."""

from __future__ import annotations

import http.server
import signal
import sys
import threading
from pathlib import Path

SICK = Path("/tmp/sick")  # noqa: S108 - the container's own


class Health(http.server.BaseHTTPRequestHandler):
    """Healthy or sick, as the file says."""

    def do_GET(self) -> None:
        """Answer every path alike."""
        self.send_response(503 if SICK.exists() else 200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def main() -> None:
    """Serve until SIGTERM."""
    port = int(sys.argv[1] if len(sys.argv) > 1 else "8000")
    server = http.server.ThreadingHTTPServer(("", port), Health)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()


if __name__ == "__main__":
    main()
