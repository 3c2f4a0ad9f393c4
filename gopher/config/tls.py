"""TLS trust store: which certificate authorities are accepted."""

import functools
import ssl

import certifi


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return a context that verifies certificates with the system's authorities, or SSL_CERT_FILE, and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
