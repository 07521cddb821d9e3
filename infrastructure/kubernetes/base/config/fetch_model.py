"""Copies what MODEL_SOURCE names in S3 to MODEL_TARGET: the node's NVMe where it has one (instanceStorePolicy: RAID0).

Runs in the engine's own image, which carries boto3. What is there in full is not copied again: a container that is
started anew in the same pod begins at once. SHA256SUMS beside the model (as `sha256sum` writes it) is held to.
"""

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import boto3

SUMS = "SHA256SUMS"
TARGET = Path(os.environ.get("MODEL_TARGET", "/models"))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    source = urlsplit(os.environ["MODEL_SOURCE"])
    if source.scheme != "s3" or not source.netloc:
        sys.exit("MODEL_SOURCE is s3://bucket/prefix")
    prefix = source.path.strip("/") + "/"
    s3 = boto3.client("s3", region_name=os.environ["AWS_REGION"])
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=source.netloc, Prefix=prefix)
    objects = {item["Key"].removeprefix(prefix): item for page in pages for item in page.get("Contents", [])}
    wanted = {name: item["Size"] for name, item in objects.items() if name and not name.endswith("/")}
    if not wanted:
        sys.exit(f"nothing lies under {source.geturl()}")

    def fetch(name: str) -> None:
        place = (TARGET / name).resolve()
        if not place.is_relative_to(TARGET.resolve()):
            sys.exit(f"{name!r} leads out of {TARGET}")
        if place.exists() and place.stat().st_size == wanted[name]:
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(place.name + ".part")
        s3.download_file(source.netloc, prefix + name, str(draft))
        draft.rename(place)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fetch, wanted))
    if SUMS in wanted:
        for line in (TARGET / SUMS).read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            if sha256(TARGET / name.strip()) != digest:
                (TARGET / name.strip()).unlink()
                sys.exit(f"{name} is damaged")
    sys.stdout.write(f"{len(wanted)} files, {sum(wanted.values())} bytes\n")


if __name__ == "__main__":
    main()
