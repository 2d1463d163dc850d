"""37: event streams that end oddly, are cut into lines oddly, or go on after their end."""

from __future__ import annotations

from collections.abc import Iterator

from tests.hostile.inputs import (
    MARK,
    HostileStream,
    Ordinary,
    Size,
    anthropic_data,
    chunk,
    compact,
    name_of,
    openai_data,
    sse,
)


def inputs(ordinary: Ordinary, size: Size) -> Iterator[HostileStream]:
    data = ordinary.data()
    wire, exact = ordinary.stream(data), (9, 2)
    yield HostileStream("37 nothing wrong", wire, usage=exact)
    yield HostileStream("37 no newline at the end", wire[:-1], usage=exact)
    yield HostileStream("37 no line end at the end", wire[:-2], usage=exact)
    yield HostileStream("37 CR only", ordinary.stream(data, b"\r"), usage=exact)
    yield HostileStream("37 CR LF", ordinary.stream(data, b"\r\n"), usage=exact)
    yield HostileStream("37 CR LF and LF", wire.replace(b"\n\n", b"\r\n\n"), usage=exact)
    yield HostileStream("37 LF and CR LF", wire.replace(b"\n\n", b"\n\r\n"), usage=exact)
    yield HostileStream("37 many empty lines", wire.replace(b"\n\n", b"\n\n\n\n\n"), usage=exact)
    yield HostileStream("37 no space after the colon", wire.replace(b"data: ", b"data:"), usage=exact)
    yield HostileStream("37 two spaces after the colon", wire.replace(b"data: {", b"data:  {"), usage=exact)
    yield HostileStream("37 a byte order mark", b"\xef\xbb\xbf" + wire, usage=exact)
    yield HostileStream("37 comments", wire.replace(b"data: ", b": ping\ndata: "), usage=exact)
    yield HostileStream("37 comments alone", wire.replace(b"\n\n", b"\n\n: ping\n\n"), usage=exact)
    yield HostileStream(
        "37 ids and retries", wire.replace(b"data: ", b"id: 1\0\nretry: 1e9\nfoo: x\ndata: "), usage=exact
    )
    yield HostileStream("37 empty data", wire.replace(b"\n\n", b"\n\ndata:\n\ndata\n\n"), end=None)
    yield HostileStream("37 a field without a colon", b"data\n\n" + wire, end=None)
    yield HostileStream("37 nothing at all", b"", end="error")
    yield HostileStream("37 newlines alone", b"\n\r\n\r" * 100, end="error")
    yield HostileStream("37 only half an event", wire[:40], end="error")
    yield HostileStream("37 no events but JSON", compact({"error": {"message": MARK, "type": "x"}}), end="error")
    yield HostileStream("37 HTML", b"<html><body>Bad Gateway</body></html>", end="error")
    yield from _terminals(ordinary, data)
    yield from _texts(ordinary, size)


def _terminals(ordinary: Ordinary, data: list[bytes]) -> Iterator[HostileStream]:
    wire, exact = ordinary.stream(data), (9, 2)
    named = ordinary.dialect == "anthropic"
    last, more = data[-1], data[0 if not named else 2]
    end = sse(last, name_of(last) if named else None)
    after = sse(more, name_of(more) if named else None)
    error = compact({"type": "error", "error": {"type": "late", "message": MARK}})
    yield HostileStream("37 two terminal events", wire + end, usage=exact)
    yield HostileStream("37 an event after the terminal one", wire + after, usage=exact)
    yield HostileStream("37 an error after the terminal event", wire + sse(error, "error"), end=None, usage=exact)
    yield HostileStream("37 a whole stream after the terminal event", wire + wire, usage=exact)
    yield HostileStream("37 a terminal event and nothing else", end, end=None)
    yield HostileStream("37 the terminal event first", end + wire, end=None)
    yield HostileStream(
        "37 no terminal event", ordinary.stream(data[:-1]), end="error" if named else "complete", usage=exact
    )
    yield HostileStream("37 events in the wrong order", ordinary.stream([*data[-2::-1], last]), end=None)
    yield HostileStream(
        "37 each event twice", ordinary.stream([each for each in data[:-1] for _ in (1, 2)] + [last]), end=None
    )
    if named:
        yield HostileStream("37 no names", b"".join(map(sse, data)), end=None)
        yield HostileStream("37 the wrong names", b"".join(sse(each, "ping") for each in data), end=None)
        yield HostileStream("37 unknown events", wire.replace(end, sse(b'{"type":"new"}', "new") + end), usage=exact)
    else:
        yield HostileStream("37 names", b"".join(sse(each, "message") for each in data), end=None)
        yield HostileStream("37 thread names", b"".join(sse(each, "thread.run") for each in data), end=None)
        yield HostileStream("37 words behind DONE", wire.replace(b"[DONE]", b"[DONE] bye"), end=None)
        yield HostileStream("37 DONE in the text", ordinary.stream([chunk({"content": "[DONE]"}), *data]), usage=exact)


def _texts(ordinary: Ordinary, size: Size) -> Iterator[HostileStream]:
    long = 10_000_000 if size == "full" else 300_000
    for name, text in (
        ("data: in the text", f"data: {MARK}\n\ndata: [DONE]\n\nevent: error\ndata: {{}}\n\n"),
        ("every kind of line end in the text", "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e\r\n"),
        ("characters of two, three and four bytes", "é你𝄞" * 20),
        (f"a line of {long} bytes", "a" * long),
    ):
        yield HostileStream(f"37 {name}", ordinary.stream(_with_text(ordinary, text)), usage=(9, 2))
    many = _with_text(ordinary, "x")
    at = 0 if ordinary.dialect == "openai" else 2
    yield HostileStream(
        f"37 {long // 1000} events", ordinary.stream([*many[:at], *[many[at]] * (long // 1000), *many[at + 1 :]])
    )
    # The blank line belongs to none of them: it would end the event.
    spread = ordinary.stream(ordinary.data()).replace(b',"', b',\ndata: "')
    yield HostileStream("37 JSON over several lines", spread, usage=(9, 2))


def _with_text(ordinary: Ordinary, text: str) -> list[bytes]:
    if ordinary.dialect == "openai":
        return [chunk({"role": "assistant", "content": text}), *openai_data()[1:]]
    data = anthropic_data()
    data[2] = compact({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})
    return data
