"""OpenTelemetry's spans of what requests noted, and their way to a collector. Whoever imports this loads the SDK."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
from opentelemetry.trace.status import Status, StatusCode

from observability.finished import Finished, Noted
from observability.traceparent import new_span_id

TIMEOUT_S = 5.0
_SAMPLED = TraceFlags(1)
_UNSET = Status()


class _Service(Resource):
    """The exporter asks for its hash with every span, and a resource makes it of its JSON each time: 2 µs."""

    __eq__ = object.__eq__
    __hash__ = object.__hash__


class Collector:
    """`endpoint` is its address without a path; headers, certificates and compression are OpenTelemetry's own settings
    (`OTEL_EXPORTER_OTLP_…`)."""

    def __init__(self, service: str, endpoint: str) -> None:
        said = Resource.create({"service.name": f"atrium-{service}"})
        self._service = _Service(said.attributes, said.schema_url)
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces", timeout=TIMEOUT_S)

    def tell(self, requests: Sequence[Finished]) -> None:
        """Raises OSError where the collector did not take them."""
        spans = [span for request in requests for span in self.spans(request)]
        if self._exporter.export(spans) is not SpanExportResult.SUCCESS:
            raise OSError("the collector did not take the spans")

    def spans(self, request: Finished) -> list[ReadableSpan]:
        trace_id = int(request.trace_id, 16)
        own = _context(trace_id, request.span_id)
        whose = {"tenant_id": request.tenant_id, "request_id": request.request_id}
        found = [
            self._span(noted, request.epoch_ns, _context(trace_id, new_span_id()), own, SpanKind.INTERNAL, whose)
            for noted in request.spans
        ]
        if request.root is not None:
            caller = _context(trace_id, request.parent_id) if request.parent_id else None
            facts = {**whose, **request.facts}
            found.append(self._span(request.root, request.epoch_ns, own, caller, SpanKind.SERVER, facts))
        return found

    def _span(
        self,
        noted: Noted,
        epoch_ns: int,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: Mapping[str, str | int],
    ) -> ReadableSpan:
        return ReadableSpan(
            name=noted.name,
            context=context,
            parent=parent,
            resource=self._service,
            attributes=attributes,
            kind=kind,
            status=Status(StatusCode.ERROR, noted.error) if noted.error else _UNSET,
            start_time=epoch_ns + int(noted.began * 1e9),
            end_time=epoch_ns + int(noted.ended * 1e9),
        )


def _context(trace_id: int, span_id: str) -> SpanContext:
    return SpanContext(trace_id, int(span_id, 16), is_remote=False, trace_flags=_SAMPLED)
