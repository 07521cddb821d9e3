"""Any service with OpenAI's moderation API, `POST /v1/moderations`
(https://platform.openai.com/docs/api-reference/moderations)."""

from __future__ import annotations

import aiohttp
from pydantic import BaseModel, Field, StrictBool, ValidationError

from router.adapters.moderation_bounded import ModerationFailedError, failed_with_status
from router.domain.moderation import PASSED, Moderated, flagged_for
from tenancy.config import ModerationStage

AT_ONCE = 256
"""A socket and some kilobytes each."""
MAX_BODY_BYTES = 256 * 1024
"""A verdict has two or three kilobytes."""


class _Result(BaseModel):
    flagged: StrictBool
    categories: dict[str, bool | None] = {}
    category_scores: dict[str, float | None] = {}


class _Answer(BaseModel):
    results: list[_Result] = Field(min_length=1)


class HttpModeration:
    """`url` is the whole address. Redirects are not followed: a prompt goes where it was told to go, or nowhere."""

    at_once = AT_ONCE

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, api_key: str | None = None, model: str | None = None
    ) -> None:
        self._session = session
        self._url = url
        self._headers = {"accept-encoding": "identity"}
        if api_key is not None:
            self._headers["authorization"] = f"Bearer {api_key}"
        self._model = {"model": model} if model is not None else {}

    async def verdict(self, text: str, *, stage: ModerationStage) -> Moderated:
        body = await self._body({"input": text, **self._model})
        try:
            results = _Answer.model_validate_json(body).results
        except ValidationError as error:
            raise ModerationFailedError("malformed") from error
        return flagged_for(*_categories(results)) if any(result.flagged for result in results) else PASSED

    async def _body(self, question: dict[str, str]) -> bytes:
        body = bytearray()
        try:
            async with self._session.post(
                self._url, json=question, headers=self._headers, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise failed_with_status(response.status)
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > MAX_BODY_BYTES:
                        raise ModerationFailedError("too_large")
        except TimeoutError as error:
            raise ModerationFailedError("timeout") from error
        except (aiohttp.ClientError, OSError) as error:
            raise ModerationFailedError("out_of_reach") from error
        return bytes(body)


def _categories(results: list[_Result]) -> list[str]:
    """Those that are true of what is flagged, the highest score first."""
    scores = {
        name: result.category_scores.get(name) or 0.0
        for result in results
        if result.flagged
        for name, holds in result.categories.items()
        if holds
    }
    return sorted(scores, key=lambda name: (-scores[name], name))
