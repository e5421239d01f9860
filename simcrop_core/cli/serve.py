"""`simcrop serve`: the engine for Slicer, notebooks and scripts, on this machine or for a department."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from simcrop_core.cli.options import Flag, whole_number
from simcrop_core.errors import MissingDependency, NotAuthorised, UnreadableFile
from simcrop_core.results import DeviceName


@dataclass(frozen=True, slots=True)
class Serve:
    """Serve the engine over HTTP (docs/serve.md). It listens on this machine only, unless told otherwise.

    The token that clients must give is read from the environment variable SIMCROP_SERVE_TOKEN, or from a file. When it
    listens, one line of JSON with its address goes to standard output.
    """

    host: str = "127.0.0.1"
    """Address to listen on. Others than this machine's own need a token, and should have TLS."""
    port: Annotated[int, whole_number(at_least=0, at_most=65535)] = 8378
    """Port to listen on; 0 for one that is free."""
    token_file: Path | None = None
    """A file with one token a line; each sees only its own volumes and sessions."""
    tls_certificate: Path | None = None
    """TLS certificate (PEM)."""
    tls_key: Path | None = None
    """Private key of the certificate (PEM)."""
    weights: str = "starter"
    """Name, folder or file of the weights (`simcrop weights list`)."""
    device: DeviceName = "auto"
    """Where to compute."""
    memory_gb: float = 0
    """Most that all scans hold together; the least recently used go first [default: half of the machine's memory]."""
    queue: Annotated[int, whole_number(at_least=1)] = 64
    """Most requests at work or waiting."""
    lease_s: float = 120
    """How long a session lives without being used."""
    local: Flag = False
    """Serve one user of this machine: files may be opened by path, and clients may end the server."""
    parent_pid: int | None = None
    """End when this process does."""

    def run(self) -> int:
        """Serve until stopped."""
        try:
            if self.local:
                from simcrop_core.serve.priority import give_way

                # Before the models' packages are loaded, which takes seconds of all cores.
                give_way()
            from simcrop_core.serve.process import Address, serve
        except ModuleNotFoundError as fault:
            raise MissingDependency(
                f"The package {fault.name} is needed to serve and is not installed.",
                hint="pip install 'simcrop[serve]'",
            ) from fault
        from simcrop_core.serve.settings import Settings

        tokens = self._tokens()
        address = Address(self.host, self.port, self.tls_certificate, self.tls_key)
        if not tokens:
            raise NotAuthorised(
                "The server has no token to let clients in with.",
                hint="Set SIMCROP_SERVE_TOKEN to a long random word, or give --token-file.",
            )
        settings = Settings(
            weights=self.weights,
            device=self.device,
            tokens=tokens,
            local=self.local and address.loopback,
            memory_bytes=int(self.memory_gb * 2**30),
            queue=self.queue,
            lease_s=self.lease_s,
        )
        serve(settings, address, parent_pid=self.parent_pid)
        return 0

    def _tokens(self) -> tuple[str, ...]:
        """From the file, and from the environment, where children of this process must not find it."""
        words = [os.environ.pop("SIMCROP_SERVE_TOKEN", "")]
        if self.token_file is not None:
            try:
                words += self.token_file.read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError) as fault:
                raise UnreadableFile(
                    f"The tokens in {self.token_file} cannot be read.", hint="Give a text file with one token a line."
                ) from fault
        return tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
