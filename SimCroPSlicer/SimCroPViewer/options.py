"""What `simcrop view` was asked for, and what a session is told: plain values that go through a pipe as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass


@dataclass(frozen=True)
class EngineOptions:
    """The engine that all sessions share.

    Attributes:
        weights: of an engine on this machine.
        device: where it computes.
        server: URL of an engine elsewhere; "" for one on this machine.
        token: of that server.
        cafile: of the certificate authority that signed its certificate; "" for the system's own.
    """

    weights: str = "starter"
    device: str = "auto"
    server: str = ""
    token: str = ""
    cafile: str = ""


@dataclass(frozen=True)
class ViewOptions:
    """The page.

    Attributes:
        host: that it listens on.
        port: 0 for one that is free.
        certificate: TLS certificate, PEM; "" for plain HTTP.
        key: of the certificate.
        token: that opens the page.
        scan: path of the CT that a new tab shows; "" for none.
        series: number or UID of its DICOM series; "" where it has one.
        frame: number of its volume, from 1, where it is 4D; 0 where it is not.
        report: path of the report that a new tab looks for; "" for none.
        keep_s: how long a session outlives its tab.
        open_browser: show the page at once.
    """

    host: str
    port: int
    token: str
    certificate: str = ""
    key: str = ""
    scan: str = ""
    series: str = ""
    frame: int = 0
    report: str = ""
    keep_s: int = 600
    open_browser: bool = True


@dataclass(frozen=True)
class SessionOptions:
    """What the front tells a session through its standard input: nothing of it is in a list of processes.

    Attributes:
        secret: that lets a browser's connection in.
        keeper: address of the front's own door for sessions.
        keeper_secret: that opens it.
        cafile: as of `EngineOptions`.
        here: whether the engine is on this machine.
        paths: whether files of this machine may be opened by path.
        scan: as of `ViewOptions`.
        series: as of `ViewOptions`.
        frame: as of `ViewOptions`.
        report: as of `ViewOptions`.
        keep_s: as of `ViewOptions`.
    """

    secret: str
    keeper: str
    keeper_secret: str
    cafile: str
    here: bool
    paths: bool
    scan: str
    series: str
    frame: int
    report: str
    keep_s: int

    def line(self) -> str:
        """As one line of JSON."""
        return json.dumps(dataclasses.asdict(self)) + "\n"

    @classmethod
    def read(cls, line: str) -> SessionOptions:
        """From that line."""
        return cls(**json.loads(line))
