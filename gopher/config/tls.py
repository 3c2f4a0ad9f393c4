"""TLS trust store: which certificate authorities are accepted."""

import functools
import ssl


def new_context() -> ssl.SSLContext:
    """Return a context that verifies certificates with the system's authorities, or SSL_CERT_FILE, and certifi's."""
    # Connections without TLS do not need it.
    import certifi

    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return such a context, shared by all connections over HTTPS."""
    return new_context()
