"""Signatures of webhooks, as in Standard Webhooks: HMAC-SHA256 over id, time and body, by secrets `whsec_<base64>`."""

import hashlib
import hmac
import secrets
from base64 import b64decode, b64encode
from collections.abc import Iterable

PREFIX = "whsec_"
_BYTES = 32


def new_secret() -> str:
    """Return a new random secret."""
    return PREFIX + b64encode(secrets.token_bytes(_BYTES)).decode()


def signed_headers(message_id: str, seconds: int, body: bytes, keys: Iterable[str]) -> dict[str, str]:
    """Return the headers of a message sent at a Unix time, with a signature by each secret."""
    content = f"{message_id}.{seconds}.".encode() + body
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{_signature(content, key)}" for key in keys),
    }


def _signature(content: bytes, secret: str) -> str:
    return b64encode(hmac.digest(b64decode(secret.removeprefix(PREFIX)), content, hashlib.sha256)).decode()
