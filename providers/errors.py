"""What can go wrong with an upstream.

    UpstreamError            kind, status: what routing.errors tells the client
    ├── AddressRefused       network      the provider's host is one that we never call
    ├── ConnectFailed        network      no connection: name, route, port, TLS
    ├── TimedOut             timeout      no connection, no first byte or no next byte in time
    └── ReplyBroken          network      the reply ended or turned to garbage before its end
        └── ErrorFirst       server_error its first event is an error

The text of one is ours: it never holds what the upstream or a library said.
"""

from __future__ import annotations


class UpstreamError(Exception):
    """``kind`` is a word of the contract's error table, ``status`` the status that a client sees."""

    kind = "network"
    status = 502


class AddressRefused(UpstreamError):
    pass


class ConnectFailed(UpstreamError):
    pass


class TimedOut(UpstreamError):
    kind = "timeout"
    status = 504


class ReplyBroken(UpstreamError):
    pass


class ErrorFirst(ReplyBroken):
    kind = "server_error"
