"""What a restore makes of a data directory: beside what is there, and in its place in steps that can be gone on with.

Until the draft is marked as ready, nothing of the directory has changed; from then on whoever comes (another restore,
`atrium up`, a backup) finishes what is left to move before anything else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ValidationError

from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.leftovers import end_processes, find_leftovers
from cli.local.private_file import write_private
from cli.whole_file import sync_folder

_READY = "ready"
_LOGS = "logs"


class _Plan(BaseModel):
    """`made`: what of the draft takes its place. `aside`: where what was there before goes."""

    made: list[str]
    aside: str


class Draft:
    """`path` is a data directory of its own, as long as it is being made."""

    def __init__(self, data_dir: DataDir) -> None:
        self._data_dir = data_dir
        self.place = DataDir(data_dir.path / "restoring")

    @contextmanager
    def being_made(self) -> Iterator[None]:
        """Begins without what a killed restore has left; removed again where making it fails."""
        self._remove()
        self.place.path.mkdir(mode=0o700)
        try:
            yield
        except BaseException:
            self._remove()
            raise

    def _remove(self) -> None:
        """With the server of a restore that was killed, which may be just stopping."""
        if not self.place.path.exists():
            return
        if survivors := end_processes(find_leftovers(self.place)):
            raise CliError(f"processes of an earlier restore cannot be ended: {survivors[0].pid}")
        shutil.rmtree(self.place.path)

    def take_place(self, aside: str) -> None:
        """`aside` names a folder of the data directory for what is there. Killed at any moment: `settle` goes on."""
        made = [path.name for path in _state(self.place) if path.exists()]
        sync_folder(self.place.path)
        write_private(self._mark, _Plan(made=made, aside=aside).model_dump_json())
        sync_folder(self.place.path)
        self._finish()

    def finish_if_decided(self) -> bool:
        """Finish a restore that was cut short while it took its place. Says whether there was one."""
        if not self._mark.exists():
            return False
        self._finish()
        return True

    def settle(self) -> bool:
        """`finish_if_decided`, for whoever wants the directory's state. Raises CliError where a restore was cut short
        that has changed nothing yet: whoever asked for it waits for it."""
        if self.finish_if_decided():
            return True
        if self.place.path.exists() and not any(self.place.path.iterdir()):
            self.place.path.rmdir()
        if self.place.path.exists():
            raise CliError(
                f"a restore into {self._data_dir.path} was cut short",
                hint=f"run `atrium restore` again, or remove {self.place.path} to go on with what was there before",
            )
        return False

    @property
    def _mark(self) -> Path:
        return self.place.path / _READY

    def _finish(self) -> None:
        try:
            plan = _Plan.model_validate_json(self._mark.read_bytes())
        except ValidationError as error:
            raise CliError(f"{self._mark} cannot be read") from error
        aside = self._data_dir.path / Path(plan.aside).name
        aside.mkdir(mode=0o700, exist_ok=True)
        for old, new in zip(_state(self._data_dir), _state(self.place), strict=True):
            # A part that was made and is not in the draft any more has taken its place already.
            if old.exists() and (new.exists() or old.name not in plan.made):
                old.rename(aside / old.name)
            if new.exists():
                new.rename(old)
        shutil.rmtree(self._data_dir.rag_cache, ignore_errors=True)
        for folder in (aside, self._data_dir.path):
            sync_folder(folder)
        if not any(aside.iterdir()):
            aside.rmdir()
        shutil.rmtree(self.place.path / _LOGS, ignore_errors=True)
        for left in self.place.path.iterdir():
            if left != self._mark:
                shutil.rmtree(left) if left.is_dir() else left.unlink()
        self._mark.unlink()
        self.place.path.rmdir()


def holds_state(data_dir: DataDir) -> bool:
    return any(path.exists() for path in _state(data_dir))


def _state(data_dir: DataDir) -> tuple[Path, ...]:
    return (data_dir.postgres, data_dir.objects, data_dir.secrets, data_dir.examples_loaded)
