"""Log events of the GenAI conventions, from records: a call's details, and what went wrong."""

from __future__ import annotations

from typing import Final

from interlay.model.record import Record
from interlay.telemetry import facts as known
from interlay.telemetry.messages import bounded, said
from interlay.telemetry.otlp import LogEvent
from interlay.telemetry.spans import Span
from interlay.telemetry.vocabulary import Attributes, Vocabulary

DETAILS: Final = "gen_ai.client.inference.operation.details"
FAILED: Final = "gen_ai.client.operation.exception"
_DEBUG: Final = 5
_WARN: Final = 13


def events_of(record: Record, spans: list[Span], vocabulary: Vocabulary, content_limit: int) -> list[LogEvent]:
    """What a record is told as in events, beside its spans (the root first): parented to the exchange that served.

    ``content_limit``: bytes that messages may take, structured as they are; 0 leaves them out.
    """
    if record.operation == "http" or record.operation in known.FUNCTIONS or not spans:
        return []
    exchanges = [span for span in spans if vocabulary.names["provider"] in span.attributes]
    span = exchanges[-1] if exchanges else spans[0]
    attributes: Attributes = dict(span.attributes)
    # What a cache did is told of the whole, which may be another span than the exchange's.
    names = [vocabulary.names[fact] for fact in known.CACHE]
    attributes |= {name: spans[0].attributes[name] for name in names if name in spans[0].attributes}
    for fact in ("input_messages", "output_messages", "tool_definitions"):
        attributes.pop(vocabulary.names[fact], None)  # as text, of the span
    if content_limit and record.contents is not None:
        told = said(record.contents, record.dialect)
        for fact, messages in (
            ("input_messages", told.input),
            ("output_messages", told.output),
            ("tool_definitions", told.tools),
        ):
            if messages:
                attributes[vocabulary.names[fact]] = list(bounded(messages, content_limit))
    events = [LogEvent(DETAILS, span.end_ns, _DEBUG, attributes, span.trace_id, span.span_id, span.flags)]
    error = record.error
    if error is not None and record.end == "error":
        failed: Attributes = {"exception.type": error.type}
        if error.message:
            failed["exception.message"] = error.message
        events.append(LogEvent(FAILED, span.end_ns, _WARN, failed, span.trace_id, span.span_id, span.flags))
    return events
