"""Counting without a tokeniser: about right for each script, never in the way."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlay.model import tokens
from interlay.model.tokens import estimate, estimate_request


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("four", 1),
        ("Grüße", 1.25),
        ("Привет мир, как дела", 5),
        ("你好世界", 2.875),
        ("こんにちは", 3.59375),
        ("안녕하세요", 3.59375),
        ("你好 ok", 2.1875),
        ("\ud800", 0.25),  # half of a pair, as cut streams have it
    ],
)
def test_each_script_has_its_weight(text: str, expected: float) -> None:
    assert estimate(text) == expected


def test_a_long_text_counts_as_its_pieces_do() -> None:
    assert estimate("你好, a" * 400_000) == estimate("你好, a") * 400_000


def test_a_prompt_counts_its_messages_and_its_reply() -> None:
    body = {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "You answer in one short sentence."},
            {"role": "user", "content": "Why does a cache save money when many people ask the same question?"},
        ],
        "stream": True,
    }
    # 33 and 67 characters; four tokens a message, three for the reply. The o200k vocabulary says 32.
    assert estimate_request(json.dumps(body).encode()) == round(33 / 4 + 67 / 4 + 2 * 4 + 3)


def test_text_counts_wherever_an_api_puts_it() -> None:
    text = "x" * 400
    bodies: list[dict[str, object]] = [
        {"messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]},
        {"messages": [{"role": "user", "content": [{"type": "tool_result", "content": [{"text": text}]}]}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": text}}]}]},
        {"system": [{"type": "text", "text": text}], "messages": []},
        {"input": text},
        {"input": [{"role": "user", "content": [{"type": "input_text", "text": text}]}]},
        {"input": [text[:200], text[200:]]},
        {"contents": [{"role": "user", "parts": [{"text": text}]}]},
        {"prompt": text},
    ]
    for body in bodies:
        assert 103 <= estimate_request(json.dumps(body).encode()) <= 112, body


def test_images_count_for_nothing_and_tools_for_their_text() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000_000}}
    body = {"messages": [{"role": "user", "content": [image]}]}
    assert estimate_request(json.dumps(body).encode()) == 7
    tools = [{"type": "function", "function": {"name": "f", "description": "x" * 4000}}]
    assert 1000 < estimate_request(json.dumps({"messages": [], "tools": tools}).encode()) < 1050


def plainly(body: dict[str, Any]) -> int:
    """The same count, made of whole values."""

    def size(value: Any) -> float:
        return 0 if value is None else len(msgspec.json.encode(value)) / 4

    def piece(value: dict[str, Any]) -> float:
        total = sum(estimate(value.get(name) or "") for name in ("text", "thinking", "refusal", "arguments"))
        total += size(value.get("input")) + size(value.get("output"))
        total += content(value.get("content") or "")
        if value.get("function") is not None:
            total += piece(value["function"])
        return total + sum(map(piece, [*(value.get("parts") or ()), *(value.get("tool_calls") or ())]))

    def content(value: Any) -> float:
        return (
            estimate(value)
            if isinstance(value, str)
            else sum(estimate(item) if isinstance(item, str) else piece(item) for item in value)
        )

    total = 3.0
    for messages in (body.get("messages") or (), body.get("contents") or ()):
        total += sum(4 + piece(message) for message in messages)
    for name in ("system", "prompt", "input", "instructions"):
        if body.get(name):
            total += 4 + content(body[name])
    return round(total + size(body.get("tools")))


texts = st.text() | st.text(alphabet='\\"u0你é😀\n/', max_size=60) | st.sampled_from(["\\" * 40, "\\u0041" * 9])
pieces = st.recursive(
    st.fixed_dictionaries({}, optional={"text": texts, "thinking": texts, "arguments": texts, "content": texts}),
    lambda inner: st.fixed_dictionaries(
        {}, optional={"content": st.lists(inner, max_size=3), "parts": st.lists(inner, max_size=3), "function": inner}
    ),
    max_leaves=6,
)
bodies = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(pieces, max_size=4),
        "system": texts | st.lists(pieces, max_size=3),
        "prompt": texts | st.lists(texts, max_size=3),
        "input": texts | st.lists(texts | pieces, max_size=3),
        "instructions": st.none() | texts,
        "tools": st.lists(st.fixed_dictionaries({"name": st.sampled_from(["f", "get"])}), max_size=2),
    },
)


@given(bodies, st.booleans(), st.sampled_from([13, 64, tokens._LARGE]))
def test_however_text_is_written_and_sliced_it_counts_the_same(
    body: dict[str, Any],
    escaped: bool,  # noqa: FBT001
    slice_size: int,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tokens, "_LARGE", slice_size)
        wire = json.dumps(body, ensure_ascii=escaped, separators=(",", ":")).encode("utf-8", "surrogatepass")
        assert estimate_request(wire) == plainly(body)


MEGABYTE = 1 << 20


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{",
        b'{"messages":7}',
        b'{"messages":[{"content":3}]}',
        b"\xff" * 30 * MEGABYTE,
        b"[" * 30 * MEGABYTE,
        b'{"messages":[' + b"{}," * 10 * MEGABYTE + b"{}]}",
        b'{"messages":' + b'[{"content":' * 90_000,
        b'{"input":[' + b'"",' * 10 * MEGABYTE + b'""]}',
        b'{"input":[' + b"1," * 15 * MEGABYTE + b"1]}",
        b'{"prompt":"' + b"\\u0041" * 5 * MEGABYTE + b'"}',
        b'{"prompt":"' + b"\\" * 30 * MEGABYTE + b'"}',
        b'{"prompt":"' + b"\\ud83d\\ude00" * (5 * MEGABYTE // 2) + b'"}',
        b'{"messages":[{"content":"' + "你".encode() * 10 * MEGABYTE + b'"}]}',
        b'{"messages":[{"content":[{"text":"' + "é😀".encode() * 5 * MEGABYTE + b'"}]}]}',
        b'{"input":["' + "你".encode() * 10 * MEGABYTE + b'"]}',
        b'{"input":[' + b'"a",' * 900_000 + b'""]}',
        b'{"input":' + b'[{"content":' * 300 + b'"' + b"a" * 30 * MEGABYTE + b'"' + b"}]" * 300 + b"}",
    ],
    ids=lambda body: f"{len(body)}:{body[:20]!r}",
)
def test_no_body_raises_or_takes_long(body: bytes) -> None:
    tracemalloc.start()
    started = time.thread_time()
    count = estimate_request(body)
    seconds = time.thread_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 <= count <= len(body)
    assert seconds < 5
    assert peak < 32 * MEGABYTE
