"""The JSON of every result, against its schema, and every schema against the types."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from simcrop_core import results
from simcrop_core.benchmark import result as bench_result
from simcrop_core.benchmark.result import BenchResult, ModelTimes, Percentiles
from simcrop_core.demo import result as demo_result
from simcrop_core.demo.result import DemoPeak, DemoResult
from simcrop_core.errors import CannotWrite
from simcrop_core.export.json import write_json
from simcrop_core.phantom import result as phantom_result
from simcrop_core.phantom.result import PhantomResult, PhantomScan
from simcrop_core.results import (
    CheckResult,
    FindingsResult,
    GroundResult,
    InfoResult,
    SegmentResult,
    as_json,
)

DOCS = Path(__file__).parents[2] / "docs"
RESULTS = {
    "ground": GroundResult, "findings": FindingsResult, "segment": SegmentResult, "info": InfoResult,
    "check": CheckResult, "bench": BenchResult, "demo": DemoResult,
    "phantom": PhantomResult,
}  # fmt: skip


ROOMS = (results, bench_result, demo_result, phantom_result)


def schema_of(name):
    return json.loads((DOCS / "schema" / f"{name}.schema.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def examples(grounding, findings, segmentation):
    times = ModelTimes(Percentiles(12.0, 15.5), 0.9, 0.4, 210.0, 11.0, 1800)
    peaks = [DemoPeak("A mass.", "mass", "located", 3.0, 80.0), DemoPeak("No effusion.", None, None, None, None)]
    return {
        "ground": grounding,
        "findings": findings,
        "segment": segmentation,
        "info": InfoResult(grounding.volume, {"format": "NIfTI-1"}, (360.0, 280.0, 300.0), {"50": -800.0}, None),
        "check": CheckResult("chest", grounding.volume, "warned", grounding.passport),
        "bench": BenchResult({"torch": "2.10"}, times, times, {"encode_s": 5.8}),
        "phantom": PhantomResult(
            "phantoms",
            "ct-rate",
            "a",
            "frame",
            1,
            0,
            1,
            {"Lung nodule": 1},
            [PhantomScan("train_7_a_1", 7, "train", ["Lung nodule"], ["truth/train_7_a_1.json"])],
            ["phantoms.json"],
            4.5,
        ),
        "demo": DemoResult(
            "LIDC-IDRI-0001",
            False,
            grounding,
            segmentation,
            peaks,
            {"left lung": {"simcrop": 0.97}},
            "whose",
            "page.html",
            9.5,
        ),
    }


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_is_valid_json_of_its_schema(name, examples, tmp_path):
    path = tmp_path / f"{name}.json"
    write_json(path, examples[name])
    written = json.loads(path.read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema_of(name))
    Draft202012Validator(schema_of(name)).validate(written)
    assert next(iter(written)) == "schema"
    assert written == json.loads(json.dumps(as_json(examples[name])))


@pytest.mark.parametrize("name", RESULTS)
def test_a_schema_refuses_another_version_and_a_missing_field(name, examples):
    validator = Draft202012Validator(schema_of(name))
    document = json.loads(json.dumps(as_json(examples[name])))
    for broken in ({**document, "schema": f"simcrop.{name}/0"}, dict(list(document.items())[:-1])):
        with pytest.raises(ValidationError):
            validator.validate(broken)


def test_the_ground_schema_refuses_an_unknown_kind_of_evidence(examples):
    document = json.loads(json.dumps(as_json(examples["ground"])))
    document["sentences"][0]["evidence"] = "probable"
    with pytest.raises(ValidationError):
        Draft202012Validator(schema_of("ground")).validate(document)


@pytest.mark.parametrize("name", RESULTS)
def test_a_schema_has_the_fields_and_values_of_the_types(name):
    """Field by field: names, whether null may stand there, and the words of every enumeration."""
    document = schema_of(name)
    seen = {RESULTS[name].__name__: document, **document.get("$defs", {})}
    for type_name, schema in seen.items():
        kind = next(vars(room)[type_name] for room in ROOMS if type_name in vars(room))
        hints = typing.get_type_hints(kind)
        assert set(schema["properties"]) == set(schema["required"]) == set(hints)
        for field, hint in hints.items():
            _same(schema["properties"][field], hint, kind, field)


def _same(schema, hint, kind, field):
    arguments = typing.get_args(hint)
    if types.NoneType in arguments:
        value, null = schema["anyOf"]
        assert null == {"type": "null"}
        _same(value, next(a for a in arguments if a is not types.NoneType), kind, field)
    elif typing.get_origin(hint) is typing.Literal:
        assert schema["enum"] == list(arguments)
    elif typing.get_origin(hint) is tuple:
        assert schema["minItems"] == schema["maxItems"] == len(arguments)
    elif typing.get_origin(hint) is list:
        _same(schema["items"], arguments[0], kind, field)
    elif typing.get_origin(hint) is dict:
        _same(schema["additionalProperties"], arguments[1], kind, field)
    elif dataclasses.is_dataclass(hint):
        assert schema["$ref"] == f"#/$defs/{hint.__name__}"
    elif field == "schema":
        assert schema["const"] == next(f.default for f in dataclasses.fields(kind) if f.name == "schema")
    else:
        assert schema["type"] == {str: "string", int: "integer", float: "number", bool: "boolean"}[hint]


def test_every_field_is_explained_in_the_docs():
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    for name in RESULTS:
        document = schema_of(name)
        for schema in (document, *document.get("$defs", {}).values()):
            missing = [field for field in schema["properties"] if f"`{field}`" not in text]
            assert not missing
        assert f"simcrop.{name}/1" in text
    for word in (
        *typing.get_args(results.Evidence),
        *typing.get_args(results.Polarity),
        *typing.get_args(results.Kind),
    ):
        assert f"`{word}`" in text


def test_numbers_that_json_cannot_say_are_never_written(tmp_path, examples):
    broken = dataclasses.replace(examples["segment"], volume_ml={"left lung": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "segment.json", broken)
    with pytest.raises(CannotWrite):
        write_json(tmp_path, examples["segment"])
    assert not list(tmp_path.iterdir())
