"""Which calls of AWS the code makes, read from it, and what each needs of IAM."""

from __future__ import annotations

import ast
from pathlib import Path

SOURCES = Path(__file__).resolve().parents[2] / "src"
FETCH_MODEL = SOURCES.parent / "infrastructure" / "kubernetes" / "base" / "config" / "fetch_model.py"

NEEDS = {
    "list_objects_v2": {"s3:ListBucket"},
    "list_object_versions": {"s3:ListBucketVersions"},
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
    "delete_objects": {"s3:DeleteObject", "s3:DeleteObjectVersion"},
    "download_file": {"s3:GetObject"},
    "assume_role": {"sts:AssumeRole", "sts:TagSession"},
    "encrypt": {"kms:Encrypt"},
    "decrypt": {"kms:Decrypt"},
    "apply_guardrail": {"bedrock:ApplyGuardrail"},
    "put_metric_data": {"cloudwatch:PutMetricData"},
    "put_log_events": {"logs:PutLogEvents"},
}
"""By boto3's name. Paginators are named by their operation."""
_OURS = {"close", "exceptions", "get_paginator", "paginate"}
_CLIENTS = {"_client", "_sts", "_own", "client", "s3"}


def called(path: Path) -> set[str]:
    """Operations of boto3 that a file names: methods of what it calls a client, and paginators."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            holder = node.value
            name = holder.attr if isinstance(holder, ast.Attribute) else getattr(holder, "id", "")
            if name in _CLIENTS and not isinstance(node.ctx, ast.Store):
                found.add(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get_paginator":
            found |= {str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)}
    return found - _OURS


def files_that_use_aws() -> set[str]:
    return {
        str(path.relative_to(SOURCES))
        for path in SOURCES.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in ("import boto3", "boto3's"))
    }
