"""What a user got wrong is refused at once, by a message that names the argument, its value and what was expected."""

from __future__ import annotations

import datetime as dt
import math
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from tests.unit.entry.wires import MESSAGES, Wire

import interlay
from interlay.cost import price
from interlay.entry import process
from interlay.model.errors import ConfigError, InterlayError, PartError

KEY = "sk-live-4c1d0be77a52"
"""Stands where it does not belong, and may not be shown."""


def refused(call: Callable[[], object], *said: str, by: type[Exception] = ConfigError) -> None:
    with pytest.raises(by) as raised:
        call()
    message = str(raised.value)
    assert all(re.search(word, message) for word in said), message
    assert "\n" not in message
    assert KEY[:8] not in message
    assert len(message) < 400


def each(name: str, *values: Any) -> list[tuple[str, Any]]:
    return [(name, value) for value in values]


class TestParts:
    @pytest.mark.parametrize("part", [42, None, KEY, {"key": KEY}, [interlay.Retry()], object(), print, len, 3.5])
    def test_what_is_no_layer_and_no_observer(self, part: object) -> None:
        refused(
            lambda: interlay.wrap(Wire(200).for_openai(), interlay.Timeout(total=9), part),
            "part 2",
            type(part).__name__,
            "neither a layer .* nor an observer",
            by=PartError,
        )

    @pytest.mark.parametrize("part", [interlay.Retry, interlay.Timeout, interlay.Observe, int])
    def test_a_class_instead_of_one_made_of_it(self, part: type) -> None:
        refused(lambda: interlay.wrap(Wire(200).for_openai(), part), "part 1", rf"{part.__name__}\(…\)", by=PartError)

    def test_a_layer_that_is_not_asynchronous(self) -> None:
        class Plain:
            role = interlay.Role.GUARD

            def __call__(self, call: object, next: object) -> None: ...

        refused(lambda: interlay.Chain(Plain()), "part 1 is Plain", "async def", by=PartError)

    def test_a_role_that_is_none(self) -> None:
        class Roleless:
            role = "guard"

            async def __call__(self, call: object, next: object) -> None: ...

        refused(lambda: interlay.Chain(Roleless()), "part 1 is Roleless", "role", by=PartError)

    def test_the_error_is_the_type_error_and_the_value_error_that_python_has(self) -> None:
        for kind in (TypeError, ValueError, InterlayError, ConfigError):
            with pytest.raises(kind, match="part 1"):
                interlay.Chain(7)

    def test_a_client_that_was_refused_a_part_is_as_it_was(self) -> None:
        wire = Wire(200)
        client = wire.for_openai(max_retries=5)
        refused(lambda: interlay.wrap(client, interlay.Retry(), 7), "part 2", by=PartError)
        assert client._client._transport is wire
        assert client.max_retries == 5
        client.chat.completions.create(model="m", messages=MESSAGES)


class TestClients:
    @pytest.mark.parametrize("client", [None, object(), KEY, 7, {"api_key": KEY}])
    @pytest.mark.parametrize("caller", [interlay.wrap, interlay.unwrap])
    def test_what_holds_no_http_client(self, caller: Any, client: object) -> None:
        refused(lambda: caller(client), caller.__name__, f"client={type(client).__name__}", "expected an SDK client")

    @pytest.mark.parametrize("client", [openai.OpenAI, anthropic.AsyncAnthropic])
    def test_the_class_of_one(self, client: type) -> None:
        refused(lambda: interlay.wrap(client), f"the class {client.__name__}", r"such as OpenAI\(\)")

    @pytest.mark.parametrize("provider", [7, "", True, ["openai"]])
    def test_a_provider_that_is_no_name(self, provider: Any) -> None:
        refused(lambda: interlay.wrap(Wire(200).for_openai(), provider=provider), "provider=", "expected the name")


NO_NUMBERS: list[Any] = ["1", KEY, -1, math.nan, math.inf, -math.inf, True, [1], None]


class TestLayers:
    @pytest.mark.parametrize("value", [*NO_NUMBERS, 0, 1.5])
    def test_attempts(self, value: Any) -> None:
        interlay.Secret(KEY)
        refused(lambda: interlay.Retry(attempts=value), r"Retry\(attempts=", "expected a whole number of sends")

    @pytest.mark.parametrize("value", NO_NUMBERS)
    @pytest.mark.parametrize("name", ["backoff", "max_wait", "max_retry_after"])
    def test_waits(self, name: str, value: Any) -> None:
        interlay.Secret(KEY)
        refused(lambda: interlay.Retry(**{name: value}), rf"Retry\({name}=", "expected seconds, 0 or more")

    @pytest.mark.parametrize("value", [*NO_NUMBERS[:-1], 0])
    @pytest.mark.parametrize("name", ["attempt", "total"])
    def test_limits(self, name: str, value: Any) -> None:
        interlay.Secret(KEY)
        refused(lambda: interlay.Timeout(**{name: value}), rf"Timeout\({name}=", "expected seconds above 0")

    def test_no_limit_at_all(self) -> None:
        refused(interlay.Timeout, "attempt=, total= or both")

    @pytest.mark.parametrize("layer", [interlay.Retry, lambda mode: interlay.Timeout(total=1, mode=mode)])
    @pytest.mark.parametrize("mode", ["off", "", None, True])
    def test_modes(self, layer: Any, mode: Any) -> None:
        refused(lambda: layer(mode=mode), r"mode=", "expected 'on' or 'shadow'")

    def test_randomness_that_is_none(self) -> None:
        random: Any = 0.5
        refused(lambda: interlay.Retry(random=random), "random=0.5", "expected a function")

    @pytest.mark.parametrize("target", [5, None, "print", [print]])
    def test_what_cannot_observe(self, target: object) -> None:
        refused(lambda: interlay.Observe(target), "Observe", "expected a function", type(target).__name__, by=TypeError)


def use(**scope: Any) -> None:
    with interlay.using(**scope):
        raise AssertionError("it was taken")


class TestScope:
    @pytest.mark.parametrize("name", ["user", "session", "tenant"])
    @pytest.mark.parametrize("value", [7, b"x", [], {"key": KEY}, True])
    def test_names(self, name: str, value: Any) -> None:
        refused(lambda: use(**{name: value}), rf"using\({name}=", "expected a string", by=TypeError)

    @pytest.mark.parametrize("tags", ["checkout", 7, None, [7], ["a", None], [b"x"]])
    def test_tags(self, tags: Any) -> None:
        refused(lambda: use(tags=tags), r"using\(tags", "expected a", by=TypeError)

    @pytest.mark.parametrize("deadline", [0, -1, math.nan, math.inf, True])
    def test_deadlines_that_are_no_time(self, deadline: Any) -> None:
        refused(lambda: use(deadline=deadline), rf"deadline={deadline}", "expected seconds above 0", by=ValueError)

    @pytest.mark.parametrize("deadline", ["5", [5], dt.timedelta(seconds=5)])
    def test_deadlines_of_another_type(self, deadline: Any) -> None:
        refused(lambda: use(deadline=deadline), "deadline=", "expected seconds above 0", by=TypeError)

    def test_overrides_of_what_is_not_there(self) -> None:
        refused(lambda: use(guards=True), "guards=", "no such part", by=TypeError)
        # In a process of its own: here another test may have a cache.
        program = "import interlay\nwith interlay.using(cache='no-store'): pass"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert "TypeError: using(cache='no-store'): no chain of this process has a Cache" in done.stderr

    @pytest.mark.parametrize("target", [5, None, "f", [print]])
    def test_what_cannot_be_carried(self, target: Any) -> None:
        refused(lambda: interlay.carry(target), f"carry\\({type(target).__name__}", "expected a function", by=TypeError)


class TestSetup:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *each("contents", "yes", 1, 0, []),
            *each("journal", 5, b"folder", "", None, ["folder"]),
            *each("prices", 5, b"file", [{"model": "m"}], True),
            *each("export", 5, 1.5),
            *each("prometheus", "here", 9464, ("host",), ("host", "port"), ["host", 1]),
            *each("tracer_provider", 5, True, "global"),
            *each("meter_provider", 5, True, "global"),
            *each("logs", "xml", True, 5),
        ],
    )
    def test_a_setting_of_another_kind_changes_nothing(self, name: str, value: Any) -> None:
        before = process.recorder.contents, process.recorder.journal, process._process.telemetry
        settings: dict[str, Any] = {"journal": False, "export": False, name: value}
        refused(lambda: interlay.setup(**settings), rf"setup\({name}=", "expected")
        assert (process.recorder.contents, process.recorder.journal, process._process.telemetry) == before

    def test_a_file_of_prices_that_is_not_there(self) -> None:
        refused(lambda: interlay.setup(journal=False, prices="/nowhere/prices.jsonl"), "/nowhere", "expected a file")

    @pytest.mark.parametrize("limit", ["x", -1, 1.5, True])
    def test_how_many_records(self, limit: Any) -> None:
        refused(lambda: interlay.last(limit), "limit=", "expected a whole number")

    @pytest.mark.parametrize("timeout", ["x", None, math.nan, True])
    def test_how_long_to_flush(self, timeout: Any) -> None:
        refused(lambda: interlay.flush(timeout), "timeout=", "expected seconds")

    @pytest.mark.parametrize("value", [5, "", None, b"bytes"])
    def test_secrets_that_are_none(self, value: Any) -> None:
        refused(lambda: interlay.Secret(value), "expected a non-empty string", type(value).__name__, by=TypeError)


USAGE = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
WRONG_ROWS: list[dict[str, Any]] = [
    {"price": "x"},
    {"price": -1},
    {"price": math.nan},
    {"per": 0},
    {"unit": 5},
    {"from": "soon"},
    {"typo": 1},
]
ROW = {"model": "m", "unit": "input", "price": "1"}


class TestPrices:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            *each("usage", 5, "{", b"\xff", [5], object(), KEY),
            *each("api", "nope", 5, None, ""),
            *each("model", "", 5, None),
            *each("at", "yesterday", 5, None, "2026-01-01T00:00:00"),
            *each("provider", 5, True),
            *each("tier", 5, []),
            *each("region", 5, {}),
            *each("prices", 5, "/nowhere", [5], ROW, True),
            *each("prices", *([{**ROW, **wrong}] for wrong in WRONG_ROWS)),
        ],
    )
    def test_an_argument_that_is_wrong(self, name: str, value: Any) -> None:
        arguments: dict[str, Any] = {"usage": USAGE, "api": "chat", "model": "gpt-4o", "at": "2026-11-01T00:00:00Z"}
        refused(lambda: price(**{**arguments, name: value}), name, "expected|invalid|unknown|missing")
