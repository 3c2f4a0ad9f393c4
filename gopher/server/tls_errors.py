"""Explains why a connection failed: because of TLS, certificates, or its absence."""

import socket
import ssl
import time

from gopher.base.causes import causes

#: Seconds that a probe may take, and for which its result is valid: all connections fail at the same time.
_PROBE_TIMEOUT, _VALID = 0.3, 30.0

_PLAIN = "the server does not use TLS: use redis:// in place of rediss://"
AFTER_HANDSHAKE = "if the server requires a client certificate, set REDIS_TLS_CERT"
_ENCRYPTED = "the server expects TLS: use rediss:// in place of redis://"
#: Reasons why the server refuses the handshake, or what it replies if it does not know TLS.
_REASONS = {
    "WRONG_VERSION_NUMBER": _PLAIN,
    "RECORD_LAYER_FAILURE": _PLAIN,
    "PACKET_LENGTH_TOO_LONG": _PLAIN,
    "HTTP_REQUEST": _PLAIN,
    "UNKNOWN_PROTOCOL": _PLAIN,
    "UNEXPECTED_EOF_WHILE_READING": "the server ends the connection during the TLS handshake",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the server does not support TLS 1.2",
    "UNSUPPORTED_PROTOCOL": "the server does not support TLS 1.2",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the server requires a client certificate: set REDIS_TLS_CERT",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": f"the server refuses the TLS handshake: {AFTER_HANDSHAKE}",
    "TLSV1_UNRECOGNIZED_NAME": "the server does not know the name that it was called by: set REDIS_TLS_SERVER_NAME",
}
_REJECTED = "the server rejects the client certificate ({}): check REDIS_TLS_CERT"
#: In the names of alerts.
_OF_CERTIFICATES = ("CERTIFICATE", "UNKNOWN_CA", "DECRYPT_ERROR", "ACCESS_DENIED")
_UNTRUSTED = "set REDIS_TLS_VERIFY to the file of its authority, or to none"
#: OpenSSL's codes of verification (x509_vfy.h).
_NAME_MISMATCHES = (62, 64)
_UNKNOWN_AUTHORITY = (18, 19, 20, 21)

_probed: dict[tuple[str, int, bool], tuple[float, bool]] = {}


def explain(error: BaseException, host: str, port: int, *, encrypted: bool, may_probe: bool = True) -> str | None:
    """Return what to do about the error of a connection, or None if it has nothing to do with TLS."""
    of_tls = next((each for each in causes(error) if isinstance(each, ssl.SSLError)), None)
    if isinstance(of_tls, ssl.SSLCertVerificationError):
        return _of_certificate(of_tls)
    reason = (of_tls.reason or "") if of_tls else ""
    if reason in _REASONS:
        return _REASONS[reason]
    if "_ALERT_" in reason and any(word in reason for word in _OF_CERTIFICATES):
        return _REJECTED.format(reason.partition("_ALERT_")[2].lower().replace("_", " "))
    if may_probe and _probe(host, port, encrypted=not encrypted):
        return _PLAIN if encrypted else _ENCRYPTED
    return f"TLS failed ({reason.lower().replace('_', ' ')})" if reason else None


def _of_certificate(error: ssl.SSLCertVerificationError) -> str:
    message = error.verify_message.rstrip(".")
    if error.verify_code in _NAME_MISMATCHES:
        remedy = "use that name, or set REDIS_TLS_SERVER_NAME to it, or REDIS_TLS_CHECK_HOSTNAME=0"
        return f"the server's certificate is for another name ({message}): {remedy}"
    if error.verify_code in _UNKNOWN_AUTHORITY:
        return f"the server's certificate is not trusted ({message}): {_UNTRUSTED}"
    return f"the server's certificate is not valid ({message})"


def _probe(host: str, port: int, *, encrypted: bool) -> bool:
    """Return whether the server speaks TLS, or responds without it."""
    valid_until, found = _probed.get((host, port, encrypted), (0.0, False))
    if time.monotonic() >= valid_until:
        found = _speaks_tls(host, port) if encrypted else _responds(host, port)
        _probed[host, port, encrypted] = time.monotonic() + _VALID, found
    return found


def _speaks_tls(host: str, port: int) -> bool:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((host, port), _PROBE_TIMEOUT) as connection,
            context.wrap_socket(connection, server_hostname=host),
        ):
            return True
    except ssl.SSLError as error:
        return "_ALERT_" in (error.reason or "")
    except (OSError, ValueError):
        return False


def _responds(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), _PROBE_TIMEOUT) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(1) in (b"+", b"-")
    except OSError:
        return False
