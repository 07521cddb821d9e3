"""What IAM says to a request, computed from policies: enough of its language for ours, and an error for the rest.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
Explicit deny, else an allow, else no. Not evaluated: boundaries, SCPs, session and endpoint policies; we have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Statement = Mapping[str, Any]
_KNOWN = {"Sid", "Effect", "Principal", "Action", "Resource", "Condition"}
_VARIABLE = re.compile(r"\$\{([^}]+)\}")


class NotUnderstoodError(Exception):
    """The policy says something that this evaluator does not know: nothing is concluded from it."""


@dataclass(frozen=True)
class Request:
    """`context` has the condition keys, as `aws:PrincipalTag/tenant` or `s3:prefix`; of several values, a list."""

    action: str
    resource: str
    context: Mapping[str, str | list[str]] = field(default_factory=dict)
    principal: str = ""


def allows(statements: Iterable[Statement], request: Request) -> bool:
    effects = [statement["Effect"] for statement in statements if applies(statement, request)]
    return "Deny" not in effects and "Allow" in effects


def applies(statement: Statement, request: Request) -> bool:
    if unknown := set(statement) - _KNOWN:
        raise NotUnderstoodError(f"{unknown} in {statement}")
    return (
        _principal(statement.get("Principal"), request.principal)
        and any(_like(action.lower(), request.action.lower()) for action in many(statement["Action"]))
        and any(_resource(one, request) for one in many(statement.get("Resource", "*")))
        and all(
            _condition(operator, key, many(values), request.context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def many(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [str(one) for one in value]


def _principal(principal: Any, asking: str) -> bool:
    if principal is None or principal == "*":
        return True
    return asking in [one for values in principal.values() for one in many(values)]


def _resource(pattern: str, request: Request) -> bool:
    found = _filled(pattern, request.context)
    return found is not None and _like(found, request.resource)


def _filled(pattern: str, context: Mapping[str, str | list[str]]) -> str | None:
    """The pattern with its variables' values, which are no patterns themselves; None where one has no value."""
    for name in _VARIABLE.findall(pattern):
        value = context.get(name)
        if not isinstance(value, str):
            return None
        pattern = pattern.replace(f"${{{name}}}", value.replace("*", "\x00").replace("?", "\x01"))
    return pattern


def _like(pattern: str, text: str) -> bool:
    parts = (".*" if one == "*" else "." if one == "?" else re.escape(one) for one in pattern)
    expression = "".join(parts).replace("\x00", re.escape("*")).replace("\x01", re.escape("?"))
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _condition(operator: str, key: str, wanted: Sequence[str], context: Mapping[str, str | list[str]]) -> bool:
    for_all = operator.startswith("ForAllValues:")
    name = operator.removeprefix("ForAllValues:")
    if_exists = name.endswith("IfExists")
    name = name.removesuffix("IfExists")
    value = context.get(key)
    if name == "Null":
        return (value is None) == (wanted == ["true"])
    negative = name in {"StringNotEquals", "StringNotLike"}
    if value is None:
        return for_all or if_exists or negative
    if isinstance(value, list) and not for_all:
        raise NotUnderstoodError(f"{operator} of a key with several values")
    found = [_compared(name, one, wanted, context) for one in many(value)]
    return all(found)


def _compared(name: str, value: str, wanted: Sequence[str], context: Mapping[str, str | list[str]]) -> bool:
    filled = [one for one in (_filled(pattern, context) for pattern in wanted) if one is not None]
    match name:
        case "StringEquals" | "Bool":
            return value in filled
        case "StringNotEquals":
            return value not in filled
        case "StringLike" | "ArnLike" | "ArnEquals":
            return any(_like(one, value) for one in filled)
        case "StringNotLike":
            return not any(_like(one, value) for one in filled)
        case "NumericLessThan":
            return any(float(value) < float(one) for one in filled)
    raise NotUnderstoodError(name)
