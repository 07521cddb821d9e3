"""A service does not start without a real key, and says which setting is at fault without repeating it."""

from __future__ import annotations

import pytest

from servicekit.settings import ServiceSettings, is_placeholder
from servicekit.tokens import generate_signing_key, key_id, load_signing_key, public_text


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SERVICE_VERIFY_KEYS", "SERVICE_SIGNING_KEY", "LOG_LEVEL"):
        monkeypatch.delenv(name, raising=False)


def test_two_verify_keys_are_trusted_while_one_is_rotated() -> None:
    keys = [load_signing_key(generate_signing_key()) for _ in range(2)]
    settings = ServiceSettings(service_verify_keys=" , ".join(public_text(key) for key in keys))
    assert [key_id(key) for key in settings.verify_keys()] == [key_id(key.public_key()) for key in keys]


def test_the_signing_key_alone_gives_its_public_half(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = generate_signing_key()
    monkeypatch.setenv("SERVICE_SIGNING_KEY", secret)
    settings = ServiceSettings()
    assert [key_id(key) for key in settings.verify_keys()] == [key_id(load_signing_key(secret).public_key())]
    assert secret not in repr(settings)


def test_without_any_key_it_does_not_start() -> None:
    with pytest.raises(ValueError, match="SERVICE_VERIFY_KEYS is needed"):
        ServiceSettings()


@pytest.mark.parametrize("name", ["service_verify_keys", "service_signing_key"])
@pytest.mark.parametrize("value", ["", " ", "changeme", "CHANGE_ME", "change-me-please", "placeholder", "<your key>"])
def test_a_placeholder_is_refused_by_the_settings_name(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name.upper()} is empty or a placeholder"):
        ServiceSettings(**{name: value})


def test_an_unusable_key_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValueError, match="neither a PEM nor 32 bytes") as refused:
        ServiceSettings(service_signing_key="c2VjcmV0LXNlY3JldA==")
    assert "c2VjcmV0" not in str(refused.value)


def test_a_real_key_is_no_placeholder() -> None:
    assert not any(is_placeholder(generate_signing_key()) for _ in range(200))


def test_the_log_level_may_be_written_in_any_case() -> None:
    assert ServiceSettings(service_signing_key=generate_signing_key(), log_level="debug").log_level == "DEBUG"
