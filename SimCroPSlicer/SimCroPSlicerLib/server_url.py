"""The address of an engine elsewhere, as a user writes it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from simcrop_core.errors import BadRequest

LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class ServerUrl:
    """Where a server is.

    Attributes:
        host: its name or number.
        port: as written, or the scheme's own.
        tls: whether it is asked over https.
    """

    host: str
    port: int
    tls: bool


def server_url(written: str) -> ServerUrl:
    """Read an address; without a scheme it is https.

    Raises:
        BadRequest: this is no address of a server, or would send a scan unencrypted over the network.
    """
    no_address = BadRequest(f"{written} is no address of a server.", hint="Write https://name:port.")
    try:
        parts = urlsplit(written if "://" in written else f"https://{written}")
        port = parts.port
    except ValueError as fault:
        raise no_address from fault
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/"):
        raise no_address
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise BadRequest("A scan is not sent unencrypted to another machine.", hint="Write https:// instead.")
    tls = parts.scheme == "https"
    return ServerUrl(parts.hostname, port or (443 if tls else 80), tls)
