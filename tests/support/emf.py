"""The schema of CloudWatch's embedded metric format, written down from its specification in the CloudWatch user guide,
and the limits that a schema cannot say."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

MAX_BYTES = 256 * 1024
UNITS = (
    "Seconds|Microseconds|Milliseconds|Bytes|Kilobytes|Megabytes|Gigabytes|Terabytes|Bits|Kilobits|Megabits|Gigabits"
    "|Terabits|Percent|Count|Bytes/Second|Kilobytes/Second|Megabytes/Second|Gigabytes/Second|Terabytes/Second"
    "|Bits/Second|Kilobits/Second|Megabits/Second|Gigabits/Second|Terabits/Second|Count/Second|None"
)
_NAME = {"type": "string", "minLength": 1, "maxLength": 1024}
_DIMENSION_SET = {
    "type": "array",
    "maxItems": 30,
    "uniqueItems": True,
    "items": {"type": "string", "minLength": 1, "maxLength": 250},
}
_DEFINITION = {
    "type": "object",
    "required": ["Name"],
    "properties": {"Name": _NAME, "Unit": {"enum": UNITS.split("|")}, "StorageResolution": {"enum": [1, 60]}},
    "additionalProperties": False,
}
_DIRECTIVE = {
    "type": "object",
    "required": ["Namespace", "Dimensions", "Metrics"],
    "properties": {
        "Namespace": _NAME,
        "Dimensions": {"type": "array", "minItems": 1, "items": _DIMENSION_SET},
        "Metrics": {"type": "array", "minItems": 1, "maxItems": 100, "items": _DEFINITION},
    },
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["_aws"],
    "properties": {
        "_aws": {
            "type": "object",
            "required": ["Timestamp", "CloudWatchMetrics"],
            "properties": {
                "Timestamp": {"type": "integer", "minimum": 0},
                "CloudWatchMetrics": {"type": "array", "minItems": 1, "items": _DIRECTIVE},
            },
        }
    },
}
_NUMBERS = {"type": "array", "items": {"type": "number"}, "minItems": 1, "maxItems": 100}
_TARGET = Draft202012Validator(
    {
        "oneOf": [
            {"type": "number"},
            _NUMBERS,
            {
                "type": "object",
                "required": ["Values", "Counts", "Max", "Min", "Count", "Sum"],
                "properties": {"Values": _NUMBERS, "Counts": _NUMBERS},
            },
        ]
    }
)
_DIMENSION_VALUE = Draft202012Validator(
    {"type": "string", "minLength": 1, "maxLength": 1024, "pattern": r"^[\x20-\x7e]*$"}
)
_DOCUMENT = Draft202012Validator(SCHEMA)


def checked(line: bytes) -> dict[str, Any]:
    """The document, if CloudWatch would take it. Raises jsonschema's ValidationError or AssertionError."""
    assert len(line) <= MAX_BYTES
    assert b"\n" not in line
    found: dict[str, Any] = json.loads(line)
    _DOCUMENT.validate(found)
    for directive in found["_aws"]["CloudWatchMetrics"]:
        for name in {name for names in directive["Dimensions"] for name in names}:
            _DIMENSION_VALUE.validate(found[name])
        for definition in directive["Metrics"]:
            value = found[definition["Name"]]
            _TARGET.validate(value)
            if isinstance(value, dict):
                assert len(value["Values"]) == len(value["Counts"])
    return found
