"""The extension as Slicer's build system, its Extensions Index and a person with a clone meet it."""

from __future__ import annotations

import ast
import json
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "SimCroPSlicer"
# The viewer beside the module is a program of its own and never enters Slicer.
SOURCES = sorted(path for path in MODULE.rglob("*.py") if "SimCroPViewer" not in path.parts)


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    build = tmp_path_factory.mktemp("build")
    slicer = Path(__file__).parent / "cmake_slicer"
    command = ["cmake", "-S", str(ROOT), "-B", str(build), f"-DSlicer_DIR={slicer}"]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return build, output


def imports(folder, tmp_path):
    """Whether the module's parts without Qt find the engine that lies beside them, in a Python that knows no other."""
    code = (
        "import sys; from pathlib import Path; from SimCroPSlicerLib.engine_path import add_engine_to_path;"
        "print(add_engine_to_path(Path(sys.path[0]))); import SimCroPSlicerLib.tasks, simcrop_core;"
        "print(simcrop_core.__file__)"
    )
    script = tmp_path / "probe.py"
    script.write_text(f"import sys; sys.path.insert(0, {str(folder)!r}); {code}")
    run = subprocess.run([sys.executable, "-P", str(script)], cwd=tmp_path, capture_output=True, text=True, check=True)
    return [Path(line) for line in run.stdout.splitlines()]


def test_cmake_configures_and_the_build_tree_carries_the_engine(configured, tmp_path):
    build, output = configured
    assert "unittest: SimCroPSlicer.py" in output
    folder = build / "lib/Slicer-5.12/qt-scripted-modules"
    assert imports(folder, tmp_path)[0] == folder


def test_the_installed_tree_carries_module_resources_and_engine(configured, tmp_path):
    build, _ = configured
    subprocess.run(
        ["cmake", "--install", str(build), "--prefix", str(tmp_path / "to")], check=True, capture_output=True
    )
    folder = tmp_path / "to" / "lib/Slicer-5.12/qt-scripted-modules"
    assert imports(folder, tmp_path)[1].is_relative_to(folder)
    for source in SOURCES:
        if "Testing" not in source.parts:
            assert (folder / source.relative_to(MODULE)).is_file()
    assert (folder / "Resources/UI/SimCroPSlicer.ui").is_file()
    assert (folder / "simcrop_core/starter/grounding.safetensors").is_file()
    assert not list(folder.rglob("__pycache__/*.py"))


def test_a_module_added_from_a_clone_finds_its_sibling(tmp_path):
    assert imports(MODULE, tmp_path)[0] == ROOT


def test_the_index_entry_agrees_with_cmake():
    entry = json.loads((MODULE / "SimCroP.json").read_text())
    cmake = (ROOT / "CMakeLists.txt").read_text()
    assert "project(SimCroP NONE)" in cmake
    assert f'EXTENSION_CATEGORY "{entry["category"]}"' in cmake
    assert f'EXTENSION_DEPENDS "{";".join(entry["build_dependencies"])}"' in cmake
    assert set(entry) <= {
        "$schema",
        "build_dependencies",
        "build_subdirectory",
        "category",
        "scm_revision",
        "scm_url",
        "tier",
    }
    pictures = re.search(r'EXTENSION_SCREENSHOTURLS "([^"]+)"', cmake)[1].split()
    assert [url.rpartition("/raw/main/")[2] for url in pictures] == [
        "docs/images/slicer-panel.png",
        "docs/images/slicer-segment.png",
    ]
    assert all((ROOT / url.rpartition("/raw/main/")[2]).is_file() for url in pictures)
    assert re.search(r'EXTENSION_HOMEPAGE "([^"]+)"', cmake)[1] + ".git" == entry["scm_url"]


def imported_by(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_no_python_threads_and_nothing_heavy_in_slicer(source):
    """Slicer's event loop starves Python threads; torch and its like stay in the child process."""
    forbidden = {"threading", "concurrent", "multiprocessing", "asyncio", "_thread", "queue", "subprocess"}
    forbidden |= {"torch", "monai", "transformers", "scipy", "simcrop_training"}
    roots = {name.split(".")[0] for name in imported_by(ast.parse(source.read_text()))}
    assert not roots & forbidden
    assert len(source.read_text().splitlines()) < 400


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_of_the_engine_only_light_parts_are_imported(source):
    allowed = {"simcrop_core", "simcrop_core.errors", "simcrop_core.serve", "simcrop_core.serve.wire"}
    engine = {name for name in imported_by(ast.parse(source.read_text())) if name.startswith("simcrop_core")}
    assert engine <= allowed


def test_the_client_brings_no_heavy_package_along():
    code = (
        "import sys, simcrop_core.serve.wire; print(*{'torch','scipy','nibabel','monai','pydantic'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


def test_every_widget_that_the_code_names_is_in_the_ui_and_the_other_way_round():
    tree = ET.parse(MODULE / "Resources/UI/SimCroPSlicer.ui")
    widgets = {w.get("name"): w.get("class") for w in tree.iter("widget")}
    code = "\n".join(source.read_text() for source in SOURCES)
    named = set(re.findall(r"\b_?ui\.([A-Za-z]\w+)", code))
    assert named <= set(widgets), f"not in the .ui: {named - set(widgets)}"
    parameters = {p.find("string").text for p in tree.iter("property") if p.get("name") == "SlicerParameterName"}
    declared = set(
        re.findall(r"^    (\w+): (?:Annotated|bool|vtk)", (MODULE / "SimCroPSlicerLib/parameters.py").read_text(), re.M)
    )
    assert parameters == declared
    buttons = {name for name, kind in widgets.items() if kind == "QPushButton"}
    assert buttons <= named, f"buttons that do nothing: {buttons - named}"


def test_the_pinned_packages_are_those_of_the_lock():
    def pins(path):
        lines = (line.partition(";")[0].strip() for line in path.read_text().splitlines())
        return {re.sub(r"[-_.]+", "-", n).lower(): v for n, _, v in (line.partition("==") for line in lines) if v}

    wanted, lock = pins(MODULE / "Resources/requirements.txt"), pins(ROOT / "requirements.lock")
    assert "torch" not in wanted
    assert {name: version for name, version in wanted.items() if name in lock} == {
        name: lock[name] for name in wanted if name in lock
    }
    for needed in ("numpy", "monai", "fastapi", "uvicorn", "psutil", "tyro"):
        assert needed in wanted
