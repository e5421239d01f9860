"""What every bad input costs: `python tests/corpus/worst_inputs.py` prints the table of docs/bad-inputs.md. Linux.

Each is given to its own process, split off one that has everything imported: so the figures are of the input alone.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent)]

from bad_images import IMAGES  # noqa: E402
from bad_texts import LONG, REFUSED  # noqa: E402
from bad_weights import PICKLES, SAFETENSORS  # noqa: E402
from hand_set_weights import write_bright_finder  # noqa: E402

from simcrop_core.cli.main import main as simcrop  # noqa: E402
from simcrop_core.errors import SimCroPError  # noqa: E402
from simcrop_core.imaging import chest_checks, itk, nifti, overview  # noqa: E402, F401
from simcrop_core.models.weights import load_weights  # noqa: E402
from simcrop_core.text.report import parse_report  # noqa: E402

SHOWN = 8


def status_mb(field: str, process: str = "self") -> float:
    """A field of a process's memory, 2²⁰ bytes; 0 of one that has ended."""
    with contextlib.suppress(OSError):
        found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text(encoding="ascii"))
        return int(found[1]) / 1024 if found else 0.0
    return 0.0


class ChildrenWatched:
    """The most memory that any child process has had, looked up every few milliseconds.

    What the system says of children that have ended counts from before they were a program of their own.
    """

    def __init__(self) -> None:
        self.mb = 0.0
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._watching)

    def __enter__(self) -> ChildrenWatched:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._watch.join()

    def _watching(self) -> None:
        while not self._ended.wait(0.003):
            for listed in Path("/proc/self/task").glob("*/children"):
                with contextlib.suppress(OSError):
                    for child in listed.read_text(encoding="ascii").split():
                        if Path(f"/proc/{child}/cmdline").read_bytes() != _MINE:
                            self.mb = max(self.mb, status_mb("VmHWM", child))


_MINE = Path("/proc/self/cmdline").read_bytes()


def cost(work: Callable[[], object]) -> dict[str, float]:
    """Peak memory above what the process had before, that of its own children, and seconds, of some work."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
            before, began, used = status_mb("VmRSS"), time.perf_counter(), time.process_time()
            with ChildrenWatched() as watched, contextlib.suppress(SystemExit, SimCroPError):
                work()
            children = resource.getrusage(resource.RUSAGE_CHILDREN)
            found = {
                "mb": status_mb("VmHWM") - before,
                "children_mb": watched.mb,
                "all_mb": status_mb("VmHWM") - before + watched.mb,
                "cpu_s": time.process_time() - used + children.ru_utime + children.ru_stime,
                "wall_s": time.perf_counter() - began,
            }
        os.write(writing, json.dumps(found).encode())
        os._exit(0)
    os.close(writing)
    told = b""
    while piece := os.read(reading, 4096):
        told += piece
    os.close(reading)
    os.waitpid(child, 0)
    return dict(json.loads(told))


def works(folder: Path) -> dict[str, tuple[Callable[[], object], int]]:
    """Every bad input by name: what reads it, and its size in bytes."""
    found: dict[str, tuple[Callable[[], object], int]] = {}
    sound = folder / "sound"
    sound.mkdir()
    write_bright_finder(sound)
    for name, (make, _) in IMAGES.items():
        path = make(_made(folder, name))
        found[name] = (lambda path=path: simcrop(["check", str(path), "--json"]), size_of(path))
    for name, make in LONG.items():
        path = make(_made(folder, name))
        found[name] = (lambda path=path: parse_report(path.read_text(encoding="utf-8")), size_of(path))
    for name, (make, _) in SAFETENSORS.items():
        path = make(_made(folder, name), sound)
        found[name] = (lambda path=path: load_weights(path), size_of(path))
    os.environ["SIMCROP_HOME"] = str(folder / "kept")
    for name, (make, _) in PICKLES.items():
        path = make(_made(folder, name), sound)
        found[name] = (lambda path=path: simcrop(["weights", "import", str(path), "--name", "bad"]), size_of(path))
    return found


def _made(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name


def size_of(path: Path) -> int:
    """Of a file or folder, bytes."""
    return sum(file.stat().st_size for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file())


def main() -> None:
    """Measure, and print the worst of each kind."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = works(Path(folder))
        rows = [(name, size, cost(work)) for name, (work, size) in inputs.items()]
    sys.stdout.write(f"{len(rows)} inputs ({len(REFUSED)} more reports are refused before they are parsed)\n\n")
    sys.stdout.write(
        "| input | file (MB) | peak memory (MB) | of child processes (MB) | time (s) |\n|---|---|---|---|---|\n"
    )
    for title, key in (("most memory", "all_mb"), ("most time", "cpu_s")):
        sys.stdout.write(f"| *{title}* | | | | |\n")
        for name, size, figures in sorted(rows, key=lambda row: -row[2][key])[:SHOWN]:
            cells = [
                f"{size / 2**20:.2f}",
                f"{figures['mb']:.0f}",
                f"{figures['children_mb']:.0f}",
                f"{figures['cpu_s']:.2f}",
            ]
            sys.stdout.write(f"| `{name}` | {' | '.join(cells)} |\n")


if __name__ == "__main__":
    main()
