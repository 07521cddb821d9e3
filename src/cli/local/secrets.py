"""The secrets of a data directory: made at its first start, kept in one private file."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cli.errors import CliError
from cli.local.private_file import write_private
from servicekit.settings import is_placeholder
from servicekit.tokens import InvalidKeyError, generate_signing_key, load_signing_key, public_text


class Secrets(BaseModel):
    """`platform_key_shown`: the key has been printed; it is not printed again."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    service_signing_key: str = Field(repr=False)
    platform_key: str = Field(repr=False)
    platform_key_shown: bool = False
    sealing_key: str = Field(default="", repr=False)

    @property
    def service_verify_keys(self) -> str:
        return public_text(load_signing_key(self.service_signing_key))

    @classmethod
    def load_or_create(cls, path: Path, environment: Mapping[str, str]) -> Self:
        """The environment's keys serve where there are none yet. SERVICE_SIGNING_KEY may be changed there at any time;
        the platform key was written into the store at its first start, so a kept one stays."""
        kept = cls.load(path)
        if kept is not None and not kept.sealing_key:  # of a directory that is older than sealed secrets
            kept = kept.model_copy(update={"sealing_key": _new_sealing_key()})
            kept.save(path)
        signing_key = environment.get("SERVICE_SIGNING_KEY")
        if kept is not None:
            return kept.model_copy(update={"service_signing_key": _checked(signing_key)}) if signing_key else kept
        chosen_key = environment.get("ATRIUM_BOOTSTRAP_KEY")
        if chosen_key and is_placeholder(chosen_key):
            raise CliError("ATRIUM_BOOTSTRAP_KEY is a placeholder: set a real value, or unset it")
        made = cls(
            service_signing_key=_checked(signing_key) if signing_key else generate_signing_key(),
            platform_key=chosen_key or f"atr_{secrets.token_urlsafe(32)}",
            sealing_key=_new_sealing_key(),
        )
        made.save(path)
        return made

    @classmethod
    def load(cls, path: Path) -> Self | None:
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise CliError(f"{path} cannot be read: {error.error_count()} fields are wrong or missing") from error

    def save(self, path: Path) -> None:
        write_private(path, self.model_dump_json(indent=2))


def _new_sealing_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _checked(signing_key: str) -> str:
    try:
        load_signing_key(signing_key)
    except InvalidKeyError as error:
        raise CliError(f"SERVICE_SIGNING_KEY: {error}") from error
    return signing_key
