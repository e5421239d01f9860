"""The client is for Slicer's Python, notebooks and scripts: nothing but numpy, and syntax that Python 3.10 reads."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CLIENT = ["serve/client.py", "serve/connections.py", "serve/frames.py", "serve/http11.py", "serve/wire.py", "errors.py"]


def test_the_client_brings_nothing_but_numpy():
    """blosc2 is looked for, not imported."""
    code = (
        "import sys, json; before = set(sys.modules); import simcrop_core.serve.client; "
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    foreign = {name for name in json.loads(ran.stdout) if name.lstrip("_") not in {n.lstrip("_") for n in STANDARD}}
    assert foreign <= {"numpy", "simcrop_core"}


STANDARD = sys.stdlib_module_names


def test_the_client_is_read_by_python_3_10():
    for name in CLIENT:
        source = (ROOT / "simcrop_core" / name).read_text(encoding="utf-8")
        tree = ast.parse(source, feature_version=(3, 10))
        imported = {
            module.split(".")[0]
            for node in ast.walk(tree)
            for module in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
        }
        assert imported <= {*sys.stdlib_module_names, "numpy", "blosc2", "simcrop_core"}
        named = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        assert not named & {"UTC", "Self", "StrEnum", "add_note", "batched"}
