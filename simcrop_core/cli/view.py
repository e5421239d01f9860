"""`simcrop view`: the scan, its sentences and their places in a browser."""

from __future__ import annotations

import ipaddress
import os
import secrets
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from simcrop_core.cli.options import Flag, FrameNumber, whole_number
from simcrop_core.errors import CannotListen, MissingDependency, UnreadableFile
from simcrop_core.results import DeviceName


@dataclass(frozen=True, slots=True)
class View:
    """Look at a chest CT and its report in a browser: Slicer's own views, drawn on this machine (docs/view.md).

    When it listens, one line goes to standard output: the address, with the token that opens it. Every tab that opens
    it has a scan, a report and views of its own; all share one engine.
    """

    ct: Positional[Path | None] = None
    """The CT that a new tab shows: NIfTI, NRRD, MHA/MHD, a folder or zip of one DICOM series."""
    report: Path | None = None
    """A file with its report: text, JSON or a DICOM structured report."""
    series: str | None = None
    """Number or UID of the DICOM series, where the folder holds several."""
    frame: FrameNumber = None
    """Which volume of a 4D file (NIfTI, NRRD, MHA/MHD): the first is 1."""
    host: str = "127.0.0.1"
    """Address to listen on. On others than this machine's own, files are opened by sending them only."""
    port: Annotated[int, whole_number(at_least=0, at_most=65535)] = 8379
    """Port to listen on; 0 for one that is free."""
    tls_certificate: Path | None = None
    """TLS certificate (PEM)."""
    tls_key: Path | None = None
    """Private key of the certificate (PEM)."""
    weights: str = "starter"
    """Name, folder or file of the weights (`simcrop weights list`)."""
    device: DeviceName = "auto"
    """Where the engine computes."""
    server: str = ""
    """URL of a `simcrop serve` to ask instead of an engine on this machine; token in SIMCROP_SERVE_TOKEN."""
    server_ca: Path | None = None
    """PEM file of the authority that signed that server's certificate [default: the system's own]."""
    keep_s: Annotated[int, whole_number(at_least=1)] = 600
    """How many seconds a session outlives its tab."""
    no_browser: Flag = False
    """Only print the address."""

    def run(self) -> int:
        """Show the page until stopped."""
        _find_viewer()
        missing = [package for package in ("aiohttp", "trame_slicer") if find_spec(package) is None]
        if missing:
            raise MissingDependency(
                f"The package {missing[0]} is needed to view and is not installed.", hint="pip install 'simcrop[view]'"
            )
        from SimCroPViewer.launch import run
        from SimCroPViewer.options import EngineOptions, ViewOptions

        if (self.tls_certificate is None) != (self.tls_key is None):
            raise CannotListen(
                "TLS needs both a certificate and its key.", hint="Give --tls-certificate and --tls-key."
            )
        for file in (self.ct, self.report, self.tls_certificate, self.tls_key, self.server_ca):
            if file is not None and not file.exists():
                raise UnreadableFile(f"{file} does not exist.", hint="Check the path.")
        page = ViewOptions(
            host=self.host,
            port=self.port,
            token=secrets.token_urlsafe(24),
            certificate=_path(self.tls_certificate),
            key=_path(self.tls_key),
            scan=_path(self.ct),
            series=self.series or "",
            frame=self.frame or 0,
            report=_path(self.report),
            keep_s=self.keep_s,
            open_browser=not self.no_browser,
        )
        token = os.environ.pop("SIMCROP_SERVE_TOKEN", "") if self.server else ""
        engine = EngineOptions(self.weights, self.device, self.server, token, _path(self.server_ca))
        run(page, engine, loopback=_loopback(self.host))
        return 0


def _path(path: Path | None) -> str:
    return "" if path is None else str(path.resolve())


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _find_viewer() -> None:
    """In a clone the viewer lies beside Slicer's module; installed, it is on the path already."""
    clone = Path(__file__).resolve().parents[2] / "SimCroPSlicer"
    if (clone / "SimCroPViewer").is_dir() and str(clone) not in sys.path:
        sys.path.append(str(clone))
