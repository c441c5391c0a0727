"""The settings of the lab's own registry (distribution v3): configuration and login. Starts nothing.

`registry serve config.yml`, with `ENVIRONMENT` added to its environment. It listens over TLS only, and
accepts only the logins in its htpasswd file.
https://distribution.github.io/distribution/about/configuration/
"""

from __future__ import annotations

from pathlib import Path

import bcrypt
import yaml

REALM = "labkit"
ENVIRONMENT = {"OTEL_TRACES_EXPORTER": "none"}
"""Version 3 sends traces to localhost:4318 unless told otherwise, and its configuration has no switch for it.

Only this variable turns them off: OpenTelemetry's autoexport reads it. (The Go SDK does not know
OTEL_SDK_DISABLED, and the sampler is set in code, so OTEL_TRACES_SAMPLER has no effect.) Metrics and logs are
not exported. REGISTRY_HTTP_SECRET may be added: with it, uploads in progress survive a restart.
"""
_ROUNDS = (
    5  # each request checks the password again; ours are long and random, so slow hashing protects nothing
)


def config(*, root: Path, address: str, cert: Path, key: Path, htpasswd: Path) -> str:
    """The text of `config.yml`; `address` is where it listens, as in `127.0.0.1:5000`."""
    http: dict[str, object] = {
        "addr": address,
        "tls": {"certificate": str(cert), "key": str(key), "minimumtls": "tls1.2"},
        "headers": {"X-Content-Type-Options": ["nosniff"]},
    }
    settings = {
        "version": 0.1,
        "log": {"level": "warn", "formatter": "text", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(root)}, "delete": {"enabled": True}},
        "http": http,
        "auth": {"htpasswd": {"realm": REALM, "path": str(htpasswd)}},
    }
    return yaml.safe_dump(settings, sort_keys=False)


def htpasswd_line(user: str, password: str) -> str:
    """One line of the htpasswd file; the registry takes bcrypt only."""
    return f"{user}:{bcrypt.hashpw(password.encode(), bcrypt.gensalt(_ROUNDS)).decode()}\n"
