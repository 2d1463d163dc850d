"""using() and carry(): identity goes where the call is made."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.unit.entry.wires import MESSAGES, OPENAI_EVENTS, Body, Wire

import interlay


def call() -> interlay.Record:
    client = interlay.wrap(Wire(200).for_openai())
    client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
    return interlay.last(1)[0]


class TestIdentity:
    def test_is_set_inside_and_gone_after(self) -> None:
        with interlay.using(user="u-7", tags=["checkout"]):
            assert call().identity.user == "u-7"
            with interlay.using(session="s-1", tags=["retry"]):
                inner = call().identity
                assert (inner.user, inner.session, inner.tags) == ("u-7", "s-1", ("checkout", "retry"))
        assert call().identity.user is None

    def test_pain_15_reaches_other_threads_by_carry(self) -> None:
        with interlay.using(user="u-7"), ThreadPoolExecutor(1) as pool:
            assert interlay.carry(pool).submit(call).result().identity.user == "u-7"
            assert pool.submit(call).result().identity.user is None
            seen: list[interlay.Record] = []
            thread = threading.Thread(target=interlay.carry(lambda: seen.append(call())))
            thread.start()
            thread.join()
        assert seen[0].identity.user == "u-7"

    @pytest.mark.parametrize("wrong", [{"cache": True}, {"guards": False}, {"user": 7}, {"tags": "checkout"}])
    def test_refuses_what_it_cannot_set(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(TypeError, match=next(iter(wrong))), interlay.using(**wrong):
            pass


class TestParts:
    @pytest.mark.parametrize("part", [42, print, interlay.Retry])
    def test_a_part_that_is_no_layer_is_named(self, part: object) -> None:
        with pytest.raises(TypeError, match="part 1"):
            interlay.wrap(Wire(200).for_openai(), part)

    def test_a_client_that_holds_no_http_client_is_refused(self) -> None:
        with pytest.raises(ValueError, match="expected an SDK client"):
            interlay.wrap(object())

    def test_observers_see_every_record_and_cannot_break_a_call(self) -> None:
        seen: list[interlay.Record] = []

        def fail(record: interlay.Record) -> None:
            raise LookupError(record.id)

        client = interlay.wrap(
            Wire(200).for_openai(), interlay.Observe(fail, inline=True), interlay.Observe(seen.append, inline=True)
        )
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        assert [record.end for record in seen] == ["complete"]


class TestUsageInStreams:
    def test_pain_13_is_asked_for_and_hidden_from_who_did_not_ask(self) -> None:
        wire = Wire(Body(OPENAI_EVENTS))
        client = interlay.wrap(wire.for_openai())
        chunks = list(client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES, stream=True))
        assert b'"stream_options":{"include_usage":true}' in wire.requests[0].content
        assert [chunk.choices[0].delta.content for chunk in chunks] == ["Hel", "lo"]
        assert not any('"usage"' in chunk.to_json() for chunk in chunks)
        usage = interlay.last(1)[0].usage
        assert usage is not None
        assert (usage.input_tokens, usage.output_tokens) == (9, 2)


class TestCanary:
    def test_law_7_a_secret_in_every_input_place_is_in_no_record(self) -> None:
        canary = "canary-7f3a9c1e55"
        wire = Wire(200)
        client = wire.for_openai(
            base_url=f"https://api.openai.com/{canary}/v1",
            default_headers={"x-note": canary},
            default_query={"key": canary},
        )
        client.api_key = canary
        interlay.wrap(client)
        tool: Any = {"type": "function", "function": {"name": canary, "arguments": canary}, "id": canary}
        messages: Any = [{"role": "user", "content": canary}, {"role": "assistant", "tool_calls": [tool]}]
        client.chat.completions.create(model="gpt-4o-mini", messages=messages)
        assert canary.encode() not in interlay.last(1)[0].to_json()
