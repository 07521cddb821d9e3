"""Which store a URL names, and which URLs name none."""

from __future__ import annotations

from pathlib import Path

import pytest

from stores.objects import open_objects
from stores.objects_folder import FolderObjects
from stores.objects_s3 import S3Objects


async def test_a_file_url_is_a_folder_made_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "with space" / "objects"
    store = open_objects(folder.as_uri())
    assert isinstance(store, FolderObjects)
    await store.check()
    await store.close()
    assert folder.is_dir()


@pytest.mark.usefixtures("aws")
@pytest.mark.parametrize("url", ["s3://bucket", "s3://bucket/", "s3://bucket/some/prefix/"])
async def test_an_s3_url_is_a_bucket(url: str) -> None:
    store = open_objects(url, region="eu-central-1")
    assert isinstance(store, S3Objects)
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        *("", "objects", "/objects", "file:objects", "file://host/objects", "file:///", "file:///x#y", "http://x/y"),
        *("s3://", "s3:///x", "s3://bucket/../x", "s3://bucket/a//b", "s3://bucket/x?y"),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="OBJECT_STORE_URL"):
        open_objects(url)
