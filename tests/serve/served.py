"""Real servers in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from simcrop_core.serve.client import Client

ROOT = Path(__file__).parents[2]
TOKEN, OTHER_TOKEN = "a-token-of-the-test", "another-token"


@dataclass
class Served:
    """A server process: its ready line, and what it logs."""

    process: subprocess.Popen
    ready: dict
    log: list[str] = field(default_factory=list)

    @property
    def address(self):
        return self.ready["address"]

    def client(self, token=TOKEN, **options):
        return Client(self.address, token, timeout_s=120, **options)

    def memory(self):
        return psutil.Process(self.ready["pid"]).memory_info().rss

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


def start(*options, folder, tokens=(TOKEN, OTHER_TOKEN), temporary=None, wait=True):
    """Begin a server; `ready_of` waits until it listens."""
    token_file = Path(folder) / "tokens.txt"
    token_file.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    if temporary is not None:
        environment |= {"TMPDIR": str(temporary), "TEMP": str(temporary), "TMP": str(temporary)}
    command = [sys.executable, "-m", "simcrop_core.cli", "serve", "--port", "0", "--token-file", str(token_file)]
    process = subprocess.Popen(
        [*command, *map(str, options)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
    )
    served = Served(process, {})
    threading.Thread(target=lambda: served.log.extend(process.stderr), daemon=True).start()
    if wait:
        ready_of(served)
    return served


def ready_of(served):
    line = served.process.stdout.readline()
    assert line, f"the server did not start: {''.join(served.log)}"
    served.ready = json.loads(line)
    return served
