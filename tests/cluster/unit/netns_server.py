"""`netns_server.py NAME IP PORT`: answers each connection with its name and what it was sent."""

import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        self.wfile.write(sys.argv[1].encode() + b" " + self.rfile.read())


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


if __name__ == "__main__":
    with Server((sys.argv[2], int(sys.argv[3])), Handler) as server:
        sys.stdout.write("listens\n")
        sys.stdout.flush()
        server.serve_forever()
