"""Counting without a tokeniser: about right for each script, never in the way."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest

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
    ],
    ids=lambda body: f"{len(body)}:{body[:12]!r}",
)
def test_no_body_raises_or_takes_long(body: bytes) -> None:
    tracemalloc.start()
    started = time.thread_time()
    count = estimate_request(body)
    seconds = time.thread_time() - started
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0 <= count <= len(body)
    assert seconds < 1
    assert peak < 64 * MEGABYTE
