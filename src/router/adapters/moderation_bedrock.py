"""Amazon Bedrock Guardrails, `ApplyGuardrail`
(https://docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_ApplyGuardrail.html)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import boto3.session
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from router.adapters.moderation_bounded import ModerationFailedError, failed_with_status
from router.domain.moderation import PASSED, Moderated, flagged_for
from tenancy.config import ModerationStage

THREADS = 32
"""As many calls at once: at 0.3 s each, a hundred a second. The threads are not asyncio's own."""
_SOURCES: Mapping[ModerationStage, str] = {"input": "INPUT", "output": "OUTPUT"}
_NAMED_BY: Mapping[tuple[str, str], str] = {
    ("topicPolicy", "topics"): "name",
    ("contentPolicy", "filters"): "type",
    ("wordPolicy", "managedWordLists"): "type",
    ("sensitiveInformationPolicy", "piiEntities"): "type",
    ("contextualGroundingPolicy", "filters"): "type",
}
"""Which member names what was found. The others would say the text itself: they are named by their kind."""
_NAMELESS: Mapping[tuple[str, str], str] = {
    ("wordPolicy", "customWords"): "WORD",
    ("sensitiveInformationPolicy", "regexes"): "REGEX",
}


class BedrockModeration:
    """One guardrail. Whatever it does about a text, masking included, is "flagged": the text is never changed here.

    Needs bedrock:ApplyGuardrail on the guardrail; credentials come from where boto3 always looks. `timeout_s` ends a
    thread that nobody waits for any more. boto3 reads an answer whole, however long it is.
    """

    at_once = THREADS

    def __init__(
        self,
        guardrail_id: str,
        version: str,
        *,
        region: str | None = None,
        endpoint_url: str | None = None,
        timeout_s: float,
    ) -> None:
        self._client: Any = boto3.session.Session(region_name=region).client(
            "bedrock-runtime",
            endpoint_url=endpoint_url,
            config=Config(
                connect_timeout=timeout_s,
                read_timeout=timeout_s,
                retries={"mode": "standard", "total_max_attempts": 1},
                max_pool_connections=THREADS,
            ),
        )
        self._guardrail = {"guardrailIdentifier": guardrail_id, "guardrailVersion": version}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="moderation")
        self._free = asyncio.Semaphore(THREADS)

    async def verdict(self, text: str, *, stage: ModerationStage) -> Moderated:
        await self._free.acquire()
        # A place is free when its thread is, not when the caller has gone: so nothing gathers in front of the threads.
        call = asyncio.get_running_loop().run_in_executor(self._threads, partial(self._apply, text, stage))
        call.add_done_callback(self._ended)
        return await asyncio.shield(call)

    def close(self) -> None:
        """Does not wait: what still runs ends with its own time bound, and nobody reads its result."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _ended(self, call: asyncio.Future[Moderated]) -> None:
        self._free.release()
        if not call.cancelled():
            call.exception()  # looked at: whoever would have been told may have gone

    def _apply(self, text: str, stage: ModerationStage) -> Moderated:
        try:
            return _moderated(
                self._client.apply_guardrail(
                    **self._guardrail, source=_SOURCES[stage], content=[{"text": {"text": text}}]
                )
            )
        except ClientError as error:
            raise failed_with_status(error.response["ResponseMetadata"]["HTTPStatusCode"]) from error
        except (ConnectTimeoutError, ReadTimeoutError) as error:
            raise ModerationFailedError("timeout") from error
        except (BotoCoreError, OSError) as error:
            raise ModerationFailedError("out_of_reach") from error
        except Exception as error:  # at JSON of another shape boto3 fails with whatever it comes to
            raise ModerationFailedError("malformed") from error


def _moderated(answer: Mapping[str, Any]) -> Moderated:
    """Anything but a plain "nothing was found" is no verdict, or flagged."""
    match answer.get("action"):
        case "NONE":
            return PASSED
        case "GUARDRAIL_INTERVENED":
            return flagged_for(*(name for one in answer.get("assessments") or () for name in _found(one)))
        case _:
            raise ModerationFailedError("malformed")


def _found(assessment: Mapping[str, Any]) -> Iterator[str]:
    for (policy, kind), member in (*_NAMED_BY.items(), *_NAMELESS.items()):
        for finding in (assessment.get(policy) or {}).get(kind) or ():
            if finding.get("action") != "NONE":
                yield _NAMELESS.get((policy, kind)) or str(finding.get(member, ""))
