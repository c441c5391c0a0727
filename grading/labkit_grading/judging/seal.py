"""The grader's key, with which evidence is signed, so that a forged grade can be detected later.

The private half stays with the instructor (0600, outside any report). Refuses a key that others can read.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from platformdirs import user_data_path

from labkit.errors import BadInput
from localcluster.stored import write_atomically

_FORMAT = (
    serialization.Encoding.PEM,
    serialization.PrivateFormat.PKCS8,
    serialization.NoEncryption(),
)


@dataclass(frozen=True)
class Key:
    """An Ed25519 key."""

    private: Ed25519PrivateKey

    def sign(self, data: bytes) -> str:
        """The signature, as text."""
        return base64.b64encode(self.private.sign(data)).decode()

    def secret(self, purpose: str) -> bytes:
        """32 bytes for one purpose, which the key can't be worked out from."""
        return hmac.digest(self.private.private_bytes_raw(), purpose.encode(), "sha256")

    def signed(self, data: bytes, signature: str) -> bool:
        """Whether this key signed exactly this."""
        try:
            raw = base64.b64decode(signature, validate=True)
            self.private.public_key().verify(raw, data)
        except (InvalidSignature, binascii.Error, ValueError):
            return False
        return base64.b64encode(raw).decode() == signature  # base64 has spare bits: one text only


def default() -> Path:
    """The key's default path."""
    return user_data_path("labkit") / "grading-key.pem"


def key(path: Path | None = None) -> Key:
    """The key in a file, created there the first time."""
    path = path or default()
    if not path.exists():
        made = Ed25519PrivateKey.generate().private_bytes(*_FORMAT).decode()
        write_atomically(path, made)
    if path.stat().st_mode & 0o077:
        raise BadInput(
            f"Other users can read {path}, so they could sign anything.",
            fix=f"chmod 600 {path}; if someone may have read it, delete it and grade again.",
        )
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise BadInput(f"{path} is not a key.", fix="Name the file that an earlier run created.") from error
    if not isinstance(found, Ed25519PrivateKey):
        raise BadInput(f"{path} is not an Ed25519 key.", fix="Name the file that an earlier run created.")
    return Key(found)
