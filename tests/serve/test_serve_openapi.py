"""The server asked at random by its own description: every answer is one that the description promises."""

from __future__ import annotations

import http.client
import json
import string

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import ROOT, TOKEN

from simcrop_core.serve import wire

DOCUMENT = json.loads((ROOT / "docs/schema/serve.openapi.json").read_text(encoding="utf-8"))
OPERATIONS = [(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods]
PATIENT_S = 60
FEW = settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)

# What people type, what programs get wrong, and what JSON allows: characters of every plane, half of a pair left out.
TEXT = st.one_of(
    st.sampled_from(["", " ", "No effusion.", "Nodule (series 4, image 112).", "../..", "\x00", "\u2028.\ufeff"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.text(string.ascii_letters + " .,()\n", max_size=60),
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


def resolved(schema):
    if "$ref" in schema:
        return DOCUMENT["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
    return schema


def fitting(schema):
    """Values that a schema of ours allows; small ones."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return st.one_of(*map(fitting, schema["anyOf"]))
    kind = schema["type"]
    if kind == "object":
        needed = schema.get("required", [])
        parts = {name: fitting(part) for name, part in schema["properties"].items()}
        wanted = {name: part for name, part in parts.items() if name in needed}
        return st.fixed_dictionaries(
            wanted, optional={name: part for name, part in parts.items() if name not in needed}
        )
    if kind == "array":
        low = schema.get("minItems", 0)
        return st.lists(fitting(schema["items"]), min_size=low, max_size=min(schema.get("maxItems", 2), max(2, low)))
    if kind == "number":
        low, high = schema.get("minimum"), schema.get("maximum")
        above = schema.get("exclusiveMinimum")
        return st.floats(
            low if above is None else above, high, exclude_min=above is not None, allow_infinity=False, allow_nan=False
        )
    simple = {"string": TEXT, "boolean": st.booleans(), "integer": st.integers(), "null": st.none()}
    return simple[kind]


def body_of(operation):
    """Bodies that fit, bodies that nearly fit, and what is no body at all."""
    content = operation.get("requestBody", {}).get("content", {})
    if "application/json" in content:
        fits = fitting(content["application/json"]["schema"])
        odd = st.tuples(fits, TEXT, ANYTHING).map(lambda it: {**it[0], it[1]: it[2]})
        wrong = st.tuples(fits, ANYTHING).map(lambda it: dict.fromkeys(it[0], it[1]))
        return st.one_of(fits, fits, odd, wrong, ANYTHING).map(lambda value: json.dumps(value).encode()) | st.binary(
            max_size=40
        )
    if wire.CONTENT_TYPE in content:
        array = {"event": "array", "name": "voxels", "dtype": "int16", "shape": [3, 3, 3]}
        lines = st.one_of(ANYTHING, st.tuples(TEXT, ANYTHING).map(lambda it: {**array, it[0]: it[1]}), st.just(array))
        pieces = st.lists(
            lines.map(lambda value: json.dumps(value).encode() + b"\n") | st.binary(max_size=60), max_size=4
        )
        return pieces.map(b"".join)
    return st.just(b"") | st.binary(max_size=20)


class Asked:
    """One answer of the server, read to its end."""

    def __init__(self, address, method, path, body, headers):
        host, _, port = address.removeprefix("http://").partition(":")
        connection = http.client.HTTPConnection(host, int(port), timeout=PATIENT_S)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            self.status, self.kind, self.body = response.status, response.getheader("Content-Type", ""), response.read()
        finally:
            connection.close()

    def last_event(self):
        answer = wire.Answer(self.status, self.kind)
        answer.feed(self.body)
        answer.end()
        return list(answer.events())[-1]


def checked(asked, operation):
    """The answer has a status that is described, and the form that goes with it."""
    assert str(asked.status) in operation["responses"], f"{asked.status} is not described: {asked.body[:200]!r}"
    assert asked.status < 500, asked.body[:300]
    content = operation["responses"][str(asked.status)]["content"]
    kind = asked.kind.split(";")[0]
    assert kind in content
    if kind == wire.CONTENT_TYPE:
        event = asked.last_event()
        assert isinstance(event, wire.ResultEvent | wire.FaultEvent)
        assert getattr(event, "code", "") != "internal-fault"
        return
    document = json.loads(asked.body)
    jsonschema.validate(document, {**content[kind]["schema"], "components": DOCUMENT["components"]})
    if asked.status >= 400:
        assert document["message"]
        assert document["hint"]


@pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=[f"{m} {p}" for m, p in OPERATIONS])
def test_whatever_is_asked_the_answer_is_one_that_is_described(server, narrow_server, chest, method, path):
    operation = DOCUMENT["paths"][path][method.lower()]
    # A server for one user may be ended by anybody who holds the token; the other says that it may not.
    address = narrow_server.address if path.endswith("/shutdown") else server.address
    with server.client() as client:
        held = client.open(chest.voxels, chest.affine)

        @FEW
        @given(
            body=body_of(operation), real=st.booleans(), odd=TEXT, token=st.sampled_from([TOKEN] * 5 + ["", "wrong"])
        )
        def ask(body, real, odd, token):
            if real and method == "DELETE":
                held.reopen()
            name = held.id if real and "{session}" in path else odd
            target = path.replace("{session}", _quoted(name)).replace("{request_id}", _quoted(odd))
            kind = wire.CONTENT_TYPE if path.endswith("/volumes") else "application/json"
            headers = {"Authorization": f"Bearer {token}", "Content-Type": kind}
            asked = Asked(address, method, target, body, headers)
            if "/" in _quoted(name) or not name or not odd:
                # Another path than was meant, or none: still an answer in words.
                assert asked.status < 500
                return
            checked(asked, operation)

        ask()
    with server.client() as client:
        assert client.health()["status"] == "ready"
    assert "Traceback" not in "".join(server.log)


def _quoted(name):
    return "".join(
        character if character.isalnum() and character.isascii() else f"%{byte:02X}"
        for character in name
        for byte in character.encode()
    )
