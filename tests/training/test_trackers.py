"""What goes to W&B and MLflow is what the run's own log says, and nothing that was not asked for.

Both are the real libraries: W&B writing its offline files, MLflow a folder.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest
from simcrop_training.engine.errors import Diverged, TrackerUnavailable
from simcrop_training.engine.trackers import Tracking
from test_engine import poisoned
from tiny_run import ended, losses, run, start


def installed(name):
    reason = f"{name} is not installed: pip install 'simcrop[trackers]'"
    return pytest.mark.skipif(importlib.util.find_spec(name) is None, reason=reason)


BOTH = [pytest.param("wandb", marks=installed("wandb")), pytest.param("mlflow", marks=installed("mlflow"))]


@pytest.fixture(autouse=True)
def on_this_machine(monkeypatch, tmp_path):
    """Nothing leaves the machine, whatever the machine's own settings are."""
    for name in [name for name in os.environ if name.startswith(("WANDB_", "MLFLOW_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlflow").as_uri())


def wandb_records(folder):
    """Records of the files that W&B keeps until they are synchronised, the oldest file first, once the last is whole.

    W&B's own process writes them, and may still do so when the run's has ended.
    """
    deadline = time.monotonic() + 60
    while True:
        records = [record for path in wandb_files(folder) for record in records_of(path.read_bytes())]
        if records and records[-1].WhichOneof("record_type") in ("exit", "final"):
            return records
        assert time.monotonic() < deadline, [record.WhichOneof("record_type") for record in records]
        time.sleep(0.05)


def wandb_files(folder):
    return sorted((folder / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime)


def records_of(content):
    """A log of LevelDB's form after seven bytes: blocks of 32 KiB, pieces with checksum, length and kind."""
    from wandb.proto import wandb_internal_pb2

    at, whole = 7, b""
    while at + 7 <= len(content):
        if 0 < -at % 32768 < 7:
            at += -at % 32768
        _, length, kind = struct.unpack_from("<IHB", content, at)
        if at + 7 + length > len(content):
            return
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


def wandb_history(folder):
    """Figures by step; the later of two."""
    history: dict[int, dict[str, object]] = {}
    for record in wandb_records(folder):
        if record.HasField("history"):
            items = {".".join(i.nested_key) or i.key: json.loads(i.value_json) for i in record.history.item}
            history.setdefault(items["_step"], {}).update({k: v for k, v in items.items() if k[0] != "_"})
    return history


def mlflow_run(folder):
    import mlflow

    return mlflow.MlflowClient().get_run((folder / "mlflow-run").read_text())


def mlflow_history(folder):
    import mlflow

    history: dict[int, dict[str, object]] = {}
    found, client = mlflow_run(folder), mlflow.MlflowClient()
    for name in found.data.metrics:
        for metric in client.get_metric_history(found.info.run_id, name):
            history.setdefault(metric.step, {})[name] = metric.value
    return history


HISTORY = {"wandb": wandb_history, "mlflow": mlflow_history}


def own_log(folder):
    """The same from log.jsonl."""
    history: dict[int, dict[str, object]] = {}
    for line in map(json.loads, (folder / "log.jsonl").read_text().splitlines()):
        if "step" not in line:
            continue
        step = history.setdefault(line.pop("step"), {})
        for name, value in line.items():
            step.update({f"{name}/{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value})
    return history


def pictures(folder):
    """Of the trackers; TensorBoard keeps its own within its events."""
    return [path for path in folder.rglob("*") if path.suffix in (".png", ".webp", ".jpg")]


def same(found, expected):
    assert {step: sorted(values) for step, values in found.items()} == {k: sorted(v) for k, v in expected.items()}
    for step, values in expected.items():
        assert found[step] == pytest.approx(values, rel=1e-12), step


def until_steps_are_done(ranks, folder):
    while not (folder / "log.jsonl").exists() or len(losses(folder)) < 2:
        assert all(rank.poll() is None for rank in ranks), ranks[0].communicate()
        time.sleep(0.02)


@pytest.mark.parametrize("name", BOTH)
def test_a_tracker_has_every_figure_of_the_log_and_no_picture(name, tmp_path):
    # A look falls between two writes of the log: steps come in their order all the same.
    run(tmp_path / "run", names=[name], steps=6, log_every=4, view_every=3)
    assert {"loss", "speed/samples_s", "view/overlap"} <= own_log(tmp_path / "run")[6].keys()
    same(HISTORY[name](tmp_path / "run"), own_log(tmp_path / "run"))
    assert pictures(tmp_path) == []


@pytest.mark.parametrize("name", BOTH)
def test_pictures_go_to_a_tracker_only_by_a_word_of_their_own(name, tmp_path):
    run(tmp_path / "run", names=[name], pictures=True, steps=2, view_every=2)
    # MLflow keeps a small copy, too, and writes both in a thread of its own.
    wanted, deadline = {"wandb": 1, "mlflow": 2}[name], time.monotonic() + 60
    while len(pictures(tmp_path)) < wanted:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(pictures(tmp_path)) == wanted


@installed("wandb")
@installed("mlflow")
def test_a_run_that_was_killed_goes_on_as_the_same_run(tmp_path):
    folder, names = tmp_path / "run", ["wandb", "mlflow"]
    (first,) = start(1, {folder: {"names": names, "steps": 10**6, "checkpoint_s": 1e6}})
    until_steps_are_done([first], folder)
    while wandb_files(folder)[0].stat().st_size < 1000:
        time.sleep(0.05)
    first.kill()
    first.communicate()
    ids = [(folder / f"{name}-run").read_text() for name in names]
    # It had not come to its first checkpoint, so that its steps are done again.
    run(folder, names=names, steps=6)
    assert [(folder / f"{name}-run").read_text() for name in names] == ids
    runs = [record.run for record in wandb_records(folder) if record.HasField("run")]
    assert [run.run_id for run in runs] == [ids[0]] * 2
    assert mlflow_run(folder).info.status == "FINISHED"
    for name in names:
        found = HISTORY[name](folder)
        assert {step: found[step]["loss"] for step in range(1, 7)} == {s: losses(folder)[s] for s in range(1, 7)}


@installed("wandb")
@installed("mlflow")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot send this signal to another process")
def test_a_run_that_is_asked_to_stop_is_ended_by_its_first_rank_as_one_that_will_go_on(tmp_path):
    folder, names = tmp_path / "run", ["wandb", "mlflow"]
    ranks = start(2, {folder: {"names": names, "steps": 10**6, "checkpoint_s": 1e6}})
    until_steps_are_done(ranks, folder)
    ranks[1].send_signal(signal.SIGTERM)
    ended(ranks)
    records = wandb_records(folder)
    assert [record.exit.exit_code for record in records if record.HasField("exit")] == [1]
    assert any(record.HasField("preempting") for record in records)
    assert len(list((folder / "wandb").glob("offline-run-*"))) == 1
    assert mlflow_run(folder).info.status == "KILLED"
    for name in names:
        same(HISTORY[name](folder), own_log(folder))


@pytest.mark.parametrize("name", BOTH)
def test_a_run_that_fails_is_ended_as_failed(name, tmp_path):
    loop = poisoned({1, 2, 3}, tmp_path / "run", tracking=Tracking((name,)))
    with pytest.raises(Diverged):
        loop.run()
    if name == "wandb":
        records = wandb_records(tmp_path / "run")
        assert [r.exit.exit_code for r in records if r.HasField("exit")] == [1]
        assert not any(r.HasField("preempting") for r in records)
    else:
        assert mlflow_run(tmp_path / "run").info.status == "FAILED"


@pytest.mark.parametrize("name", BOTH)
def test_the_recipe_goes_out_and_nothing_of_the_machine_or_the_user(name, tmp_path):
    run(tmp_path / "run", names=[name], steps=1)
    if name == "wandb":
        (told,) = [r.run for r in wandb_records(tmp_path / "run") if r.HasField("run")]
        config = {item.key: json.loads(item.value_json) for item in told.config.update}
        assert config["schedule"] == {"steps": 1}
        assert (told.project, told.display_name) == ("simcrop", "run")
        assert not told.host
        assert not told.git.remote_url
        kept = {path.name for path in (tmp_path / "run" / "wandb").rglob("files/*")}
        assert not kept & {"wandb-metadata.json", "requirements.txt", "output.log", "diff.patch", "code"}
    else:
        data = mlflow_run(tmp_path / "run").data
        assert data.params == {"name": "tiny", "schedule.steps": "1"}
        assert data.tags.keys() == {"mlflow.runName"}


@installed("wandb")
def test_the_environment_alone_sends_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_PROJECT", "chests")
    run(tmp_path / "run", steps=1)
    assert not (tmp_path / "run" / "wandb").exists()
    assert not (tmp_path / "mlflow").exists()


@installed("mlflow")
def test_a_tracker_that_cannot_be_reached_is_named_before_the_first_step(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(TrackerUnavailable, match="MLflow"):
        run(tmp_path / "run", names=["mlflow"], steps=1)
    assert not (tmp_path / "run" / "log.jsonl").exists()


@installed("mlflow")
def test_a_tracker_that_fails_the_first_rank_ends_all_ranks_with_its_name(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    ranks = start(2, {tmp_path / "run": {"names": ["mlflow"]}})
    for rank in ranks:
        assert "TrackerUnavailable: MLflow does not take the run" in rank.communicate(timeout=300)[0]
        assert rank.returncode == 1


def test_a_tracker_that_is_not_installed_is_named_with_the_command(tmp_path):
    """By a Python that finds this project and nothing else of the name."""
    code = (
        "import sys; sys.modules['wandb'] = None\n"
        "from simcrop_training.cli import main\n"
        f"sys.argv[1:] = ['run', 'smoke', '--output', {str(tmp_path / 'run')!r}, '--log-to', 'wandb']\n"
        "main()"
    )
    root = Path(__file__).parents[2]
    paths = os.pathsep.join(map(str, (root, root / "training")))
    ran = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True
    )
    assert ran.returncode == 1
    assert "missing-dependency" in ran.stderr
    assert "pip install 'simcrop[trackers]'" in ran.stderr
    assert not (tmp_path / "run").exists()
