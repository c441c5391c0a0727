"""Answers each line with the pod's name; `crash` ends it with status 3; SIGTERM once nobody is connected."""

from __future__ import annotations

import os
import signal
import socketserver
import sys
import threading


def say(what: str) -> None:
    """Log a line."""
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


class Conversation(socketserver.StreamRequestHandler):
    """One connection: a name for each line."""

    def handle(self) -> None:
        for line in self.rfile:
            said = line.decode().strip()
            say(f"heard {said}")
            if said == "crash":
                os._exit(3)
            self.wfile.write(f"{os.environ['HOSTNAME']}\n".encode())


class Server(socketserver.ThreadingTCPServer):
    """Waits for its conversations when it is asked to end."""

    allow_reuse_address = True
    daemon_threads = False


def main() -> None:
    """Serve until SIGTERM."""
    with Server(("", 7000), Conversation) as server:
        stop = threading.Thread(target=server.shutdown)
        signal.signal(signal.SIGTERM, lambda *_: stop.start())
        say("ready")
        server.serve_forever()
    say("bye")
    sys.exit(0)


if __name__ == "__main__":
    main()
