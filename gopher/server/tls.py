"""TLS to servers and sentinels."""

import os
import socket
import ssl

from gopher.base.address import TlsOptions
from gopher.config.tls import new_context
from gopher.errors import ConfigurationError


class Tls:
    """Starts TLS on connections. Certificates are read again when their files have changed: they are renewed."""

    def __init__(self, options: TlsOptions) -> None:
        """Raises ConfigurationError if a certificate or key can't be used."""
        self._options = options
        self._files = [options.certificate, options.key]
        if options.verify not in ("required", "none"):
            self._files.append(options.verify)
        self._context, self._versions = _context(options), self._found()

    def wrap(self, sock: socket.socket, host: str) -> ssl.SSLSocket:
        """Do the handshake on a connected socket, within its timeout. Raises OSError."""
        return self._current().wrap_socket(sock, server_hostname=self._name_of(host))

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, host: str) -> ssl.SSLObject:
        """Return a connection whose bytes the caller transfers."""
        return self._current().wrap_bio(incoming, outgoing, server_hostname=self._name_of(host))

    def _name_of(self, host: str) -> str:
        """Return the name that the certificate must be for: no zone of an IPv6 address, which is this machine's."""
        return self._options.server_name or host.partition("%")[0]

    def _current(self) -> ssl.SSLContext:
        versions = self._found()
        if versions != self._versions:
            try:
                self._context, self._versions = _context(self._options), versions
            except ConfigurationError:
                # It is being written. Until it can be read, the certificates from before are used.
                pass
        return self._context

    def _found(self) -> tuple[int, ...]:
        return tuple(_modified(path) for path in self._files)


def _modified(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns if path else 0
    except OSError:
        return 0


def _context(options: TlsOptions) -> ssl.SSLContext:
    # The second one lacks checks of form that Python 3.13 adds, which certificates of an own authority often fail.
    context = new_context() if options.verify == "required" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = options.check_hostname and options.verify != "none"
    if options.verify == "none":
        context.verify_mode = ssl.CERT_NONE
    elif options.verify != "required":
        try:
            context.load_verify_locations(options.verify)
        except OSError as error:
            reason = "expected certificates in PEM format" if isinstance(error, ssl.SSLError) else error.strerror
            raise ConfigurationError(f"REDIS_TLS_VERIFY={options.verify!r}: {reason}") from None
    if options.certificate:
        try:
            # An empty password: without one, OpenSSL asks for it on the terminal.
            context.load_cert_chain(options.certificate, options.key or None, options.key_password)
        except OSError as error:
            raise ConfigurationError(f"REDIS_TLS_CERT={options.certificate!r}: {_unusable(options, error)}") from None
    return context


def _unusable(options: TlsOptions, error: OSError) -> str:
    if not isinstance(error, ssl.SSLError):
        return error.strerror or str(error)
    key = f"its key in {options.key}" if options.key else "its key in the same file"
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"expected {key}, which has the key of another certificate"
    return f"expected a certificate in PEM format and {key}; if that is encrypted, set REDIS_TLS_KEY_PASSWORD"
