"""Where the int8 exports of embedding models lie: a folder each, named after what it was made of.

    <cache>/<key>/manifest.json    size and SHA-256 of the others, and what the model is
    <cache>/<key>/model.onnx       one text in, its vector out
    <cache>/<key>/tokenizer.json
    <cache>/<key>/check.f32        what the reference makes of CHECK_TEXTS

A manifest with a reason and no files says that this model cannot be exported, so that nobody tries at every start.
The sums find what a disk or a copy broke. They are no seal: who may write here, may write the manifest as well.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

MANIFEST = "manifest.json"
MODEL = "model.onnx"
TOKENIZER = "tokenizer.json"
CHECK = "check.f32"

_MADE_WITH = ("onnx", "onnxruntime", "sentence-transformers", "torch", "transformers")
_SUFFIXES = {".json", ".model", ".safetensors", ".txt"}
_STALE_DRAFT_S = 3_600


class NoExportError(Exception):
    """There is none; the message says why."""


class DamagedExportError(NoExportError):
    """There is one that is not what its manifest says."""


class FileSum(BaseModel):
    model_config = ConfigDict(frozen=True)

    size: int
    sha256: str


class Manifest(BaseModel):
    """`model` is the name that the reference gives to the same weights; `window` in tokens, `max_tokens` without the
    model's own marks; `prompt` stands before every text; `cosine` is the mean one to the reference over CHECK_TEXTS.
    """

    model_config = ConfigDict(frozen=True, protected_namespaces=())

    format: Literal[1] = 1
    refused: str = ""
    model: str = ""
    dimension: int = 0
    window: int = 0
    max_tokens: int = 0
    prompt: str = ""
    truncate: Literal["left", "right"] = "right"
    cosine: float = 0.0
    files: dict[str, FileSum] = {}


@dataclass(frozen=True, slots=True)
class Export:
    manifest: Manifest
    files: Mapping[str, bytes]


class ExportCache:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, key: str) -> Export:
        """Every byte is checked before anybody parses it, and what is parsed is what was checked.

        Raises NoExportError; DamagedExportError.
        """
        folder = self._folder / key
        try:
            manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
            if manifest.refused:
                raise NoExportError(manifest.refused)
            files = {name: (folder / name).read_bytes() for name in (MODEL, TOKENIZER, CHECK)}
        except FileNotFoundError as error:
            if folder.exists():
                raise DamagedExportError(f"{folder} lacks {Path(error.filename).name}") from error
            raise NoExportError(f"{folder} is not there") from error
        except (OSError, ValidationError) as error:
            raise DamagedExportError(f"{folder} cannot be read: {type(error).__name__}") from error
        for name, content in files.items():
            if manifest.files.get(name) != sum_of(content):
                raise DamagedExportError(f"{folder / name} is not what its manifest says")
        return Export(manifest, files)

    def has(self, key: str) -> bool:
        """Whether there is anything: an export, or the reason why there is none."""
        return (self._folder / key / MANIFEST).exists()

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """A folder of one's own to write to, gone at the end unless `keep` was called for it. Raises OSError."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._sweep()
        draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=self._folder))
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def keep(self, key: str, draft: Path, manifest: Manifest) -> None:
        """The draft's files become the export, all at once. Whoever comes second leaves the first one's in place."""
        files = {path.name: sum_of(path.read_bytes()) for path in draft.iterdir()}
        described = manifest.model_copy(update={"files": files})
        (draft / MANIFEST).write_text(described.model_dump_json(indent=1), encoding="utf-8")
        draft.chmod(0o755)
        try:
            draft.rename(self._folder / key)
        except OSError:
            if not self.has(key):
                raise

    def drop(self, key: str) -> None:
        """Out of the way first, so that nobody finds half of it."""
        with suppress(FileNotFoundError):  # somebody else was quicker
            aside = Path(tempfile.mkdtemp(prefix=".draft-", dir=self._folder))
            (self._folder / key).rename(aside / "damaged")
            shutil.rmtree(aside, ignore_errors=True)

    def _sweep(self) -> None:
        """What a build that was killed left behind."""
        for draft in self._folder.glob(".draft-*"):
            with suppress(OSError):
                if time.time() - draft.stat().st_mtime > _STALE_DRAFT_S:
                    shutil.rmtree(draft, ignore_errors=True)


def key_of(model_folder: Path) -> str:
    """Of everything that an export follows from: the model's files and the versions that make it. 60 ms for 90 MB."""
    digest = hashlib.sha256(Manifest().model_dump_json().encode())
    digest.update(" ".join(f"{name}={version(name)}" for name in _MADE_WITH).encode())
    for path in sorted(model_folder.rglob("*")):
        if path.suffix in _SUFFIXES and path.is_file():
            digest.update(f"\n{path.relative_to(model_folder).as_posix()} {_file_digest(path)}".encode())
    return digest.hexdigest()[:24]


def sum_of(content: bytes) -> FileSum:
    return FileSum(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
