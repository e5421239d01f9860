"""The software bill of materials: every pinned package as CycloneDX 1.6 JSON, the same bytes for the same pins.

`python tools/sbom.py > sbom.cdx.json`, or `make sbom`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-slicer.lock")
_PIN = re.compile(r"^([A-Za-z0-9][\w.-]*)==([^\s;#]+)")


def pins(root: Path = ROOT) -> dict[str, str]:
    """Package, in the form of its name that indexes compare, → version.

    Raises:
        ValueError: a line pins nothing, or two files pin different versions of one package.
    """
    found: dict[str, str] = {}
    for lock in LOCKS:
        for line in (root / lock).read_text(encoding="utf-8").splitlines():
            if not line.strip() or line.startswith(("#", "-")):
                continue
            match = _PIN.match(line)
            if match is None:
                raise ValueError(f"{lock}: {line!r} pins nothing")
            name, version = re.sub(r"[-_.]+", "-", match[1]).lower(), match[2]
            if found.setdefault(name, version) != version:
                raise ValueError(f"{name} is pinned as {found[name]} and as {version}")
    return dict(sorted(found.items()))


def sbom(root: Path = ROOT) -> dict[str, Any]:
    """The document; it has no serial number and no time, so that it changes only with the pins."""
    version = re.search(r'__version__ = "([^"]+)"', (root / "simcrop_core/__init__.py").read_text(encoding="utf-8"))
    assert version is not None
    components = [
        {"type": "library", "bom-ref": f"pkg:pypi/{name}@{pinned}", "name": name, "version": pinned,
         "purl": f"pkg:pypi/{name}@{pinned}"}
        for name, pinned in pins(root).items()
    ]  # fmt: skip
    itself = f"pkg:pypi/simcrop@{version[1]}"
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": itself,
                "name": "simcrop",
                "version": version[1],
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": components,
        "dependencies": [{"ref": itself, "dependsOn": [component["bom-ref"] for component in components]}],
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(sbom(), indent=2) + "\n")
