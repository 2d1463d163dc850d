"""Law 1: whatever the reader, the wire or the provider does, a run ends in exactly one record."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import httpx2
import openai
import pytest
from tests.unit.entry.wires import (
    ANTHROPIC_ERROR,
    ANTHROPIC_EVENTS,
    MESSAGES,
    OPENAI_ERROR,
    OPENAI_EVENTS,
    Body,
    Wire,
)

import interlay
from interlay.chain import aio


class Records:
    """The records sealed since the test began."""

    def __init__(self) -> None:
        self._seen = {record.id for record in interlay.last()}

    def all(self) -> list[interlay.Record]:
        interlay.flush(1)
        return [record for record in interlay.last() if record.id not in self._seen]

    def one(self) -> interlay.Record:
        records = self.all()
        assert len(records) == 1
        return records[0]


@pytest.fixture
def records() -> Records:
    return Records()


def openai_stream(body: Body) -> Any:
    client = interlay.wrap(Wire(body).for_openai(max_retries=0))
    return client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)


def anthropic_stream(body: Body) -> Any:
    client = interlay.wrap(Wire(body).for_anthropic(max_retries=0))
    return client.messages.create(model="claude-sonnet-4-6", messages=MESSAGES, max_tokens=9, stream=True)


BOTH = pytest.mark.parametrize(
    ("stream", "events"),
    [
        pytest.param(openai_stream, OPENAI_EVENTS, id="openai"),
        pytest.param(anthropic_stream, ANTHROPIC_EVENTS, id="anthropic"),
    ],
)
Opened = Callable[[Body], Any]


class TestReadToTheEnd:
    @BOTH
    def test_is_complete_and_exactly_priced(self, records: Records, stream: Opened, events: list[bytes]) -> None:
        body = Body(events)
        list(stream(body))
        record = records.one()
        assert record.end == "complete"
        assert record.usage is not None
        assert (record.usage.input_tokens, record.usage.output_tokens) == (9, 2)
        assert record.cost is not None
        assert record.cost.source == "computed"
        assert not record.cost.estimated
        assert body.closed == 1

    @BOTH
    def test_however_the_bytes_are_cut(self, records: Records, stream: Opened, events: list[bytes]) -> None:
        list(stream(Body([bytes([byte]) for byte in b"".join(events)])))
        record = records.one()
        assert record.usage is not None
        assert (record.end, record.usage.input_tokens, record.usage.output_tokens) == ("complete", 9, 2)


class TestTheReaderStops:
    @BOTH
    def test_closing_early_is_closed_and_estimated(self, records: Records, stream: Opened, events: list[bytes]) -> None:
        body = Body(events)
        with stream(body) as chunks:
            next(iter(chunks))
        record = records.one()
        assert record.end == "closed"
        assert record.cost is not None
        assert record.cost.estimated
        assert body.closed == 1

    @BOTH
    def test_dropping_it_leaves_nothing_open(self, records: Records, stream: Opened, events: list[bytes]) -> None:
        body = Body(events)
        chunks = stream(body)
        del chunks
        gc.collect()
        deadline = time.monotonic() + 1
        while not records.all() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert records.one().end in ("lost", "closed")
        assert body.closed == 1

    @pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}], ids=["", "asks for usage"])
    @pytest.mark.parametrize("size", [10_000, 150, 20])
    def test_pain_12_losing_it_in_a_cycle_of_garbage_leaves_one_record(
        self, records: Records, size: int, options: dict[str, Any]
    ) -> None:
        """The collector finalises all that it finds, in any order: what the end is read from too."""
        whole = b"".join(OPENAI_EVENTS)
        body = Body([whole[at : at + size] for at in range(0, len(whole), size)])

        def lose() -> None:
            create = interlay.wrap(Wire(body).for_openai(max_retries=0)).chat.completions.with_streaming_response.create
            with interlay.using(session="lost in a cycle"):
                opened = create(model="gpt-4o-mini", messages=MESSAGES, stream=True, **options)
                chunks = opened.__enter__().iter_bytes()
            next(chunks)
            cycle: list[Any] = [opened, chunks]
            cycle.append(cycle)

        # In a context of its own: the current one remembers the last call, which is then no garbage.
        contextvars.Context().run(lose)
        gc.collect()
        assert interlay.flush(60).done
        # The collector may have found streams of other tests too.
        (record,) = [record for record in records.all() if record.identity.session == "lost in a cycle"]
        assert record.end in ("lost", "closed", "complete")
        assert body.closed == 1

    @BOTH
    def test_ctrl_c_in_the_loop_is_cancelled(self, records: Records, stream: Opened, events: list[bytes]) -> None:
        body = Body(events)

        def read() -> None:
            with stream(body) as chunks:
                for _ in chunks:
                    raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            read()
        assert records.one().end == "cancelled"
        assert body.closed == 1

    @pytest.mark.parametrize("count", [1, len(OPENAI_EVENTS)])
    def test_ctrl_c_while_it_waits_is_cancelled_unless_it_was_over(self, records: Records, count: int) -> None:
        body = Body(OPENAI_EVENTS[:count], breaks=KeyboardInterrupt())
        client = interlay.wrap(Wire(body).for_openai(max_retries=0))
        create = client.chat.completions.with_streaming_response.create
        with (
            pytest.raises(KeyboardInterrupt),
            create(model="gpt-4o-mini", messages=MESSAGES, stream=True) as response,
        ):
            list(response.iter_bytes())
        assert records.one().end == ("cancelled" if count == 1 else "complete")
        assert body.closed == 1

    @BOTH
    def test_an_exception_in_the_loop_is_closed(self, records: Records, stream: Opened, events: list[bytes]) -> None:
        body = Body(events)

        def read() -> None:
            with stream(body) as chunks:
                for _ in chunks:
                    raise LookupError

        with pytest.raises(LookupError):
            read()
        assert records.one().end == "closed"
        assert body.closed == 1


class TestTheWireBreaks:
    @BOTH
    def test_bytes_that_end_before_the_terminal_event_are_a_cut(
        self, records: Records, stream: Opened, events: list[bytes]
    ) -> None:
        list(stream(Body(events[:1])))
        record = records.one()
        assert record.error is not None
        assert (record.end, record.error.type) == ("error", "cut")
        assert record.cost is not None
        assert record.cost.estimated

    @BOTH
    def test_a_reset_reaches_the_sdk_as_it_was(self, records: Records, stream: Opened, events: list[bytes]) -> None:
        broken = httpx2.ReadError("reset by peer")
        with pytest.raises((openai.APIConnectionError, httpx2.ReadError)) as raised:
            list(stream(Body(events[:1], breaks=broken)))
        assert broken in (raised.value, raised.value.__cause__)
        record = records.one()
        assert record.error is not None
        assert (record.end, record.error.type) == ("error", "read")

    @pytest.mark.parametrize(
        ("stream", "event", "kind"),
        [(openai_stream, OPENAI_ERROR, "server_error"), (anthropic_stream, ANTHROPIC_ERROR, "overloaded_error")],
    )
    def test_an_error_event_inside_a_200(self, records: Records, stream: Opened, event: bytes, kind: str) -> None:
        with pytest.raises(Exception, match="no"):
            list(stream(Body([event])))
        record = records.one()
        assert record.error is not None
        assert (record.end, record.error.type) == ("error", kind)


class TestAsync:
    def run(self, body: Body, *parts: object, cancel: bool = False) -> None:
        async def read() -> None:
            client = interlay.wrap(Wire(body).for_async_openai(max_retries=0), *parts)
            stream = await client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True)
            async for _ in stream:
                pass

        async def main() -> None:
            task = asyncio.create_task(read())
            if cancel:
                await asyncio.sleep(0.05)
                task.cancel()
            await task

        asyncio.run(main())

    def test_read_to_the_end(self, records: Records) -> None:
        body = Body(OPENAI_EVENTS)
        self.run(body)
        assert records.one().end == "complete"
        assert body.closed == 1

    def test_a_cancelled_task(self, records: Records) -> None:
        body = Body(OPENAI_EVENTS[:1], hangs=True)
        with pytest.raises(asyncio.CancelledError):
            self.run(body, cancel=True)
        assert records.one().end == "cancelled"
        assert body.closed == 1

    @pytest.mark.timeout(60)
    def test_a_provider_that_is_slow_to_close_after_its_last_event(self, records: Records) -> None:
        """The SDK waits a tenth of a second for it, then cancels the read: the answer is complete all the same."""
        body = Body(OPENAI_EVENTS, hangs=True)
        self.run(body)
        assert records.one().end == "complete"
        assert body.closed == 1

    @pytest.mark.timeout(60)
    def test_a_connection_that_hangs_when_it_is_closed(
        self, records: Records, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(aio, "_SHIELD_SECONDS", 0.01)
        body = Body(OPENAI_EVENTS, hangs_closing=True)
        self.run(body)
        assert records.one().end == "complete"
        assert body.closed == 1
        assert "not given back" in caplog.text

    def test_a_timeout_surfaces_as_the_librarys_own(self, records: Records) -> None:
        body = Body(OPENAI_EVENTS[:1], hangs=True)
        with pytest.raises(openai.APITimeoutError) as raised:
            self.run(body, interlay.Timeout(attempt=0.05))
        assert isinstance(raised.value.__cause__, httpx2.ReadTimeout)
        record = records.one()
        assert record.error is not None
        assert (record.end, record.error.type) == ("error", "timeout")
        assert body.closed == 1


class TestCallsAndAttempts:
    def test_two_529s_and_a_200_by_the_sdk_are_three_records_of_one_call(self, records: Records) -> None:
        wire = Wire(529, 529, 200)
        client = interlay.wrap(wire.for_openai())
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        runs = records.all()
        assert len(runs) == 3
        assert len({record.call_id for record in runs}) == 1
        assert [record.cost.amount for record in runs if record.cost] == [Decimal("0.00000255"), 0, 0]
        assert sum(attempt.billed for record in runs for attempt in record.attempts) == 1

    @pytest.mark.parametrize("trouble", [httpx2.ConnectError("refused"), httpx2.ReadTimeout("late"), 529])
    def test_retry_of_three_is_three_requests_not_nine(self, records: Records, trouble: Exception | int) -> None:
        wire = Wire(trouble)
        client = interlay.wrap(wire.for_openai(), interlay.Retry(attempts=3, backoff=0.001))
        with pytest.raises(openai.APIError):
            client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        assert len(wire.requests) == 3
        assert len(records.one().attempts) == 3

    def test_nor_where_the_sdk_was_told_to_retry(self) -> None:
        wire = Wire(httpx2.ConnectError("refused"))
        client = interlay.wrap(wire.for_openai(), interlay.Retry(attempts=3, backoff=0.001))
        with pytest.raises(openai.APIConnectionError):
            client.with_options(max_retries=1).chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        assert len(wire.requests) == 3


class TestUnwrap:
    def test_puts_back_what_was_there(self, records: Records) -> None:
        wire = Wire(200)
        client = wire.for_openai(max_retries=5)
        assert interlay.wrap(client, interlay.Retry()) is client
        assert client.max_retries == 0
        interlay.unwrap(client)
        assert client.max_retries == 5
        assert client._client._transport is wire
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        assert records.all() == []

    def test_takes_all_of_it_out_of_the_client(self) -> None:
        wire = Wire(200)
        client = wire.for_openai()
        before = dict(vars(client))
        interlay.unwrap(interlay.wrap(interlay.wrap(client), interlay.Timeout(total=1)))
        assert vars(client) == before
        sibling = interlay.wrap(client).with_options(timeout=3)
        assert sibling._client is client._client
        interlay.unwrap(client)
        assert vars(client) == before

    def test_leaves_alone_what_somebody_else_has_put_there(self) -> None:
        client = Wire(200).for_openai()

        def mine(*_: object) -> float:
            return 0.0

        client._calculate_retry_timeout = mine  # type: ignore[assignment, method-assign]
        interlay.wrap(client)
        assert client._calculate_retry_timeout is mine
        interlay.unwrap(client)
        assert client._calculate_retry_timeout is mine

    def test_a_client_without_the_sdks_private_method_is_wrapped_all_the_same(self, records: Records) -> None:
        class OtherSDK:
            def __init__(self) -> None:
                self._client = httpx2.Client(transport=Wire(200))

        client = OtherSDK()
        interlay.wrap(client, interlay.Timeout(total=60))
        assert vars(client).keys() == {"_client"}
        client._client.get("https://example.org/models")
        assert records.one().end == "complete"
        interlay.unwrap(client)
        assert isinstance(client._client._transport, Wire)
