"""An export on its way to a file: there when it is whole, and nothing left of one that is not."""

from __future__ import annotations

import hashlib
import io
import json
import stat
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from cli.archive import Archive, ArchiveError, check_archive
from cli.client.api import BrokenOffError
from cli.client.download import require_writable, save
from cli.errors import CliError

FILES = {"documents.jsonl": b'{"a": 1}\n' * 10_000, "audit.jsonl": b""}


def export(inside: Mapping[str, bytes] = FILES, **said: object) -> bytes:
    sums = {n: {"sha256": hashlib.sha256(c).hexdigest(), "lines": c.count(b"\n")} for n, c in FILES.items()}
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in inside.items():
            archive.writestr(name, content)
        about = {"format": "atrium-export", "tenant_id": "t1", "files": sums} | said
        archive.writestr("manifest.json", json.dumps(about))
    return target.getvalue()


def pieces(content: bytes, *, broken: bool = False) -> Iterator[bytes]:
    yield content[:10]
    if broken:
        raise BrokenOffError("the answer broke off")
    yield content[10:]


def into(target: Path, coming: Iterator[bytes]) -> Archive:
    return save(coming, target, check_archive, lambda _: None)


def test_a_whole_export_takes_its_name_and_is_private(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    seen: list[int] = []
    content = export()
    found = save(pieces(content), target, check_archive, seen.append)
    assert found == Archive("t1", {"documents.jsonl": 10_000, "audit.jsonl": 0})
    assert target.read_bytes() == content
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert seen == [10, len(content)]


def test_what_broke_off_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "out.zip"
    target.write_text("yesterday's")
    with pytest.raises(BrokenOffError):
        into(target, pieces(export(), broken=True))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["yesterday's"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no whole archive"),
        (export()[:-1], "no whole archive"),
        (export()[: len(export()) // 2], "no whole archive"),
        (export() + b"x" * 70_000, "no whole archive"),
        (export({**FILES, "audit.jsonl": b"{}\n"}), "audit.jsonl in .* is not what was exported"),
        (export({"audit.jsonl": b""}), "other files than its manifest says"),
        (export({**FILES, "more.jsonl": b""}), "other files than its manifest says"),
        (export(format="something"), "is no export"),
        (export(files=[]), "other files|is no export"),
        (export(files={"audit.jsonl": 1, "documents.jsonl": 2}), "is no export"),
    ],
)
def test_an_archive_that_is_not_whole_never_takes_the_name(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(ArchiveError, match=reason):
        into(tmp_path / "out.zip", iter([content]))
    assert list(tmp_path.iterdir()) == []


def test_a_byte_that_changed_inside_is_found(tmp_path: Path) -> None:
    content = bytearray(export())
    content[60] ^= 0xFF
    with pytest.raises(ArchiveError):
        into(tmp_path / "out.zip", iter([bytes(content)]))


def test_an_error_of_the_disk_stays_one(tmp_path: Path) -> None:
    def full() -> Iterator[bytes]:
        yield b"x"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        into(tmp_path / "out.zip", full())
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_said_beforehand(tmp_path: Path) -> None:
    with pytest.raises(CliError, match="is a folder"):
        require_writable(tmp_path)
    with pytest.raises(CliError, match="there is no folder"):
        require_writable(tmp_path / "no" / "out.zip")
