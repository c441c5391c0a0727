"""Serves external.metrics.k8s.io/v1beta1 with one metric at port 8443; `PUT /to/7` at port 8000 sets it."""

import json
import signal
import ssl
import sys
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME = "queue_messages_ready"
GROUP = "external.metrics.k8s.io/v1beta1"
NOW = {"value": 100}


class Handler(BaseHTTPRequestHandler):
    """Discovery, and the metric in any namespace."""

    def do_GET(self) -> None:
        """The list of resources, or the metric's value."""
        words = self.path.partition("?")[0].strip("/").split("/")
        if words == ["apis", *GROUP.split("/")]:
            resource = {"name": NAME, "namespaced": True, "kind": "ExternalMetricValueList", "verbs": ["get"]}
            self.answer({"kind": "APIResourceList", "groupVersion": GROUP, "resources": [resource]})
        elif words[-1] == NAME:
            at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            item = {"metricName": NAME, "metricLabels": {}, "timestamp": at, "value": str(NOW["value"])}
            kind = {"kind": "ExternalMetricValueList", "apiVersion": GROUP}
            self.answer({**kind, "metadata": {}, "items": [item]})
        else:
            self.answer({"kind": "Status", "status": "Failure", "code": 404}, 404)

    def do_PUT(self) -> None:
        """Set the value."""
        NOW["value"] = int(self.path.rsplit("/", 1)[1])
        self.answer({})

    def answer(self, body: object, status: int = 200) -> None:
        """Send JSON."""
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
secure = ThreadingHTTPServer(("", 8443), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
secure.socket = context.wrap_socket(secure.socket, server_side=True)
threading.Thread(target=secure.serve_forever, daemon=True).start()
ThreadingHTTPServer(("", 8000), Handler).serve_forever()
