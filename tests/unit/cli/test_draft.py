"""A restore takes its place in steps; killed before, between or after any two of them it is one thing or the other."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from cli.errors import CliError
from cli.local.data_dir import DataDir
from cli.local.draft import Draft, holds_state


class _Killed(BaseException):
    """As far as the files go: nothing after it is done."""


def _state(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and "before" not in path.parts
    }


def _put(data_dir: DataDir, text: str, *, examples: bool) -> None:
    for folder in (data_dir.postgres, data_dir.objects):
        folder.mkdir(parents=True)
        (folder / "f").write_text(text)
    data_dir.secrets.write_text(text)
    if examples:
        data_dir.examples_loaded.write_text(text)


def _make(folder: Path) -> tuple[DataDir, Draft]:
    """Old state with the mark of examples, and a draft without it."""
    data_dir = DataDir.at(folder)
    _put(data_dir, "old", examples=True)
    draft = Draft(data_dir)
    with draft.being_made():
        _put(draft.place, "new", examples=False)
        draft.place.logs.mkdir()
    return data_dir, draft


NEW = {"postgres/f": "new", "objects/f": "new", "secrets.json": "new"}
OLD = {"postgres/f": "old", "objects/f": "old", "secrets.json": "old", "examples-loaded": "old"}


def _dying_after(steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change of a name counts as a step."""
    left = itertools.count(steps, -1)
    for name in ("rename", "replace", "unlink", "rmdir", "mkdir"):
        real = getattr(Path, name)

        def dying(self: Path, *rest: Any, _real: Any = real, **named: Any) -> Any:
            if next(left) <= 0:
                raise _Killed
            return _real(self, *rest, **named)

        monkeypatch.setattr(Path, name, dying)


def test_killed_at_any_step_it_is_all_new_after_the_next_start_or_all_old(tmp_path: Path) -> None:
    decided = 0
    for steps in itertools.count():
        data_dir, draft = _make(tmp_path / str(steps))
        with pytest.MonkeyPatch.context() as patched:
            _dying_after(steps, patched)
            try:
                draft.take_place("before")
                break
            except _Killed:
                pass
        try:
            Draft(data_dir).settle()
        except CliError:
            assert decided == 0, "once it is decided, it stays so"
            assert OLD.items() <= _state(data_dir.path).items()
            continue
        decided += 1
        assert _state(data_dir.path) == NEW
        assert _state(data_dir.path / "before") == {}  # all below it is left out
        assert (data_dir.path / "before" / "examples-loaded").read_text() == "old"
    assert decided >= 8
    assert _state(data_dir.path) == NEW


def test_what_fails_while_it_is_made_leaves_nothing(tmp_path: Path) -> None:
    draft = Draft(DataDir.at(tmp_path))

    def make() -> None:
        with draft.being_made():
            (draft.place.path / "x").touch()
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        make()
    assert not draft.place.path.exists()
    assert not draft.settle()


def test_one_that_was_cut_short_while_it_was_made_starts_nothing(tmp_path: Path) -> None:
    data_dir, draft = _make(tmp_path / "d")
    with pytest.raises(CliError, match="cut short"):
        draft.settle()
    assert holds_state(data_dir)
    with draft.being_made():
        assert list(draft.place.path.iterdir()) == []
    assert not draft.settle()  # an empty draft is none
    assert not draft.place.path.exists()
