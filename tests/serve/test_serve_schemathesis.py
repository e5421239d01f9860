"""Another's tool asks the running service by the schema that it publishes, with right, wrong and no tokens."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from served import ROOT, TOKEN

HERE = Path(__file__).parent
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("schemathesis") is None, reason="needs schemathesis: pip install 'simcrop[dev]'"
)


def test_schemathesis_finds_no_answer_that_the_schema_does_not_promise(server, scan, tmp_path):
    """No server error, every status, header and body as described, wrong data refused, no answer without the token."""
    said = tmp_path / "report.json"
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml", "run"]
    command += [f"{server.address}/v1/openapi.json", "--header", f"Authorization: Bearer {TOKEN}"]
    command += ["--exclude-path", "/v1/shutdown", "--phases", "coverage,fuzzing", "--max-examples", "5", "--seed", "1"]
    command += ["--report", "json", "--report-json-path", said, "--no-color"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "SIMCROP_TEST_SESSION": scan.id,
        "SIMCROP_TEST_HOOKS": str(HERE / "schemathesis_hooks.py"),
    }
    ran = subprocess.run(
        list(map(str, command)), capture_output=True, encoding="utf-8", env=environment, cwd=tmp_path, check=False
    )
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    report = json.loads(said.read_text(encoding="utf-8"))
    assert report["operations"]["tested"] == report["operations"]["total"] - 1
    assert report["test_cases"]["generated"] > 300
    assert report["valid_rates"]["POST /v1/sessions/{session}/check"]["coverage"]["accepted"], "the session is there"
    with server.client() as client:
        assert client.health()["status"] == "ready"
    assert "Traceback" not in "".join(server.log)
