"""What a backend's answer means."""

from __future__ import annotations

import email.utils
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from interlay.telemetry.answers import partial_success, read_answer, retry_after


def read(status: int, body: bytes = b"", **headers: str) -> tuple[str, str]:
    answer = read_answer(status, lambda name: headers.get(name.replace("-", "_")), body)
    return answer.kind, answer.reason


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, "taken"), (202, "taken"), (204, "taken"), (400, "refused"), (413, "refused"), (422, "refused"),
        (501, "refused"), (408, "later"), (429, "later"), (500, "later"), (502, "later"), (503, "later"),
        (504, "later"), (301, "wrong"), (307, "wrong"), (401, "wrong"), (403, "wrong"), (404, "wrong"),
        (405, "wrong"), (415, "wrong"),
    ],
)  # fmt: skip
def test_statuses(status: int, kind: str) -> None:
    assert read(status) == (kind, "" if kind == "taken" else f"http_{status}")


def test_a_web_page_is_not_a_backend() -> None:
    assert read(200, b"<html>", content_type="text/html") == ("wrong", "web_page")


@given(st.integers(1, 2**40), st.text(max_size=100))
def test_partial_success(rejected: int, message: str) -> None:
    said = ExportTraceServiceResponse()
    said.partial_success.rejected_spans = rejected
    said.partial_success.error_message = message
    assert partial_success(said.SerializeToString()) == (rejected, message)


def test_partial_success_in_json() -> None:
    body = b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"no"}}'
    assert partial_success(body, "application/json") == (3, "no")
    assert partial_success(b"{}", "application/json") == (0, "")


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(body: bytes) -> None:
    for kind in ("application/x-protobuf", "application/json", ""):
        rejected, message = partial_success(body, kind)
        assert rejected >= 0
        assert len(message) <= 500


@pytest.mark.parametrize(
    ("value", "seconds"), [(None, None), ("3", 3.0), ("0.5", 0.5), ("-1", 0.0), ("nan", 0.0), ("soon", None)]
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value) == seconds


def test_retry_after_a_date() -> None:
    seconds = retry_after(email.utils.formatdate(time.time() + 1000, usegmt=True))
    assert seconds is not None
    assert 900 < seconds <= 1000
