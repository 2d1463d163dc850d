"""Answers in Redis, which processes and machines may share.

All keys of a store lie in 64 *shelves*, each with a hash tag of its own, so that a cluster can spread them and yet
have all that belongs to one answer in one place:

- ``PREFIX:{SHELF}:e:KEY`` an answer: ``ILR1``, when it was set (milliseconds of the server's clock, sixteen digits),
  the length of its labels (four hexadecimal digits), its labels, its value. Redis lets it expire.
- ``PREFIX:{SHELF}:k`` the shelf's list: a sorted set of the keys on it, each with the millisecond it expires at.
- ``PREFIX:{SHELF}:l:NAME`` a lease, with its owner.

An answer that is not on its shelf's list is none. So what Redis evicts, one or the other, can never be an answer that
``forget`` has missed. The lists hold no labels and cannot be wrong about them; ``forget`` walks our lists, and nobody
else's keys. Each ``set`` takes some of what is expired from its list, which ends with the last of its answers; what
was evicted is taken off beside the calls.
"""

from __future__ import annotations

import hashlib
import re
import time
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from interlay.chain.aio import AsyncIO
from interlay.chain.io import IO
from interlay.model.arguments import is_number, shown
from interlay.model.errors import ConfigError
from interlay.stores.gathering import Gathering
from interlay.stores.redis_address import parse
from interlay.stores.redis_wire import Command, Crowded, NoScriptError, Reply, ResponseError, connect
from interlay.stores.store import LONGEST, LONGEST_LEASE, Found, Stats, StoreBusy, StoreError, labels, wanted

_SHELVES: Final = 64
_HEAD: Final = 24
_MOST_LABELS: Final = 0xFFFF
_LARGEST: Final = 256 * 1024 * 1024
"""Bytes of a value. Redis itself takes twice as much."""
_PREFIX: Final = re.compile(r"[!-z|~]{1,100}")
"""Printable, and no braces: they are what clusters look for."""
_SLICE: Final = 100
_TOGETHER: Final = 8
"""Lists of which a slice is looked through at once: a server does nothing else for a millisecond or so."""
_GROUP: Final = "redis"
_PATIENCE: Final = 5.0
"""Seconds for what no call waits for."""
_SWEEP_EVERY: Final = 256
_SWEEP_MOST: Final = 20
_SAMPLE: Final = 20
_ROW: Final = 200
"""Bytes, roughly, that a key, its place in a list and Redis's own notes on both take beside the value."""


class _Script(NamedTuple):
    text: str
    digest: str


def _script(text: str) -> _Script:
    return _Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
"""

_SET: Final = _script(
    _NOW
    + """
redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[3])
local over = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 20)
if #over > 0 then redis.call('ZREM', KEYS[2], unpack(over)) end
if redis.call('PTTL', KEYS[2]) < tonumber(ARGV[2]) then redis.call('PEXPIRE', KEYS[2], ARGV[2]) end
redis.call('SET', KEYS[1], 'ILR1' .. string.format('%016d', now) .. ARGV[1], 'PX', ARGV[2])
return 1
"""
)
"""KEYS: answer, list. ARGV: length of labels, labels and value; lifetime; the key's row."""

_FORGET: Final = _script(
    _NOW
    + """
local newest = now - ARGV[1]
local words = tonumber(ARGV[2])
local count = 0
for at = 2, #KEYS do
  local row = ARGV[words + 1 + at]
  local head = redis.pcall('GETRANGE', KEYS[at], 0, 279)
  local goes = type(head) == 'string' and #head >= 24 and string.sub(head, 1, 4) == 'ILR1'
  if not goes then
    redis.call('ZREM', KEYS[1], row)
  else
    local length = tonumber(string.sub(head, 21, 24), 16) or 0
    local labels = string.sub(head, 25, 24 + length)
    if length > 256 then labels = redis.call('GETRANGE', KEYS[at], 24, 23 + length) end
    goes = (tonumber(string.sub(head, 5, 20)) or 0) < newest
    for word = 3, words + 2 do
      goes = goes and string.find(labels, ARGV[word], 1, true)
    end
    if goes then
      count = count + redis.call('DEL', KEYS[at])
      redis.call('ZREM', KEYS[1], row)
    end
  end
end
return count
"""
)
"""KEYS: list, answers. ARGV: the age that goes, in milliseconds; how many labels it must have; these; rows. What is on
the list and no answer of ours is taken off it, whatever is asked for."""

_LEASE: Final = _script(
    """
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
)

_RELEASE: Final = _script(
    """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""
)


class RedisStore:
    """In Redis 6 or later, or what speaks as it does: one server, a cluster, or one that sentinels watch over.

    Addresses: ``redis://[user:password@]host[:port][/db]``, ``rediss://`` with TLS, ``redis+cluster://host,host…``,
    ``redis+sentinel://host,host…/service[/db]``.

    Nothing is sent before first use. Each operation takes one round trip and never longer than it may, connecting and
    all; what a connection needs beyond that goes on beside the calls. Only ``forget`` and ``stats`` take several round
    trips, of up to five seconds each. Bytes are kept as they are; what somebody else put under our keys is a miss.

    An asynchronous caller's work is done in a worker thread. What many tasks ask at once is asked together.

    Args:
        url: where it is. A password in it is shown nowhere.
        timeout: seconds that looking may take, and asking for a lease.
        patience: seconds that writing may take, for which no call waits; ``timeout`` where that is longer.
        prefix: what all keys begin with. Stores with different prefixes are apart.

    Raises ``ConfigError`` for an address, a time or a prefix that is none.
    """

    # Threads rather than redis.asyncio, whose clients belong to an event loop: one loop's end takes its connections
    # along, trio has none at all, and a cancelled operation leaves a connection that must not be used again. A thread
    # finishes what it began, in the time that it has. Measured against a local server, 2 KB: redis.asyncio's bare get
    # takes 52 µs, this store's 80 by a thread for each, of which 44 are the way there and back, and 93 if it may be
    # sent together with others: then 64 tasks at once take 25 each, and those of redis.asyncio 42.

    def __init__(self, url: str, *, timeout: float = 0.04, patience: float = 1.0, prefix: str = "interlay") -> None:
        if not isinstance(url, str):
            raise ConfigError(f"RedisStore(url={shown(url)}): expected an address, such as redis://localhost")
        for field, value in (("timeout", timeout), ("patience", patience)):
            if not is_number(value) or value <= 0:
                raise ConfigError(f"RedisStore({field}={shown(value)}): expected seconds above 0")
        if not (isinstance(prefix, str) and _PREFIX.fullmatch(prefix)):
            raise ConfigError(f"RedisStore(prefix={shown(prefix)}): expected plain letters without braces")
        self.address = parse(url)
        self.timeout = timeout
        self.patience = max(patience, timeout)
        self.prefix = prefix
        self._shelves = [_Shelf(prefix, number) for number in range(_SHELVES)]
        self._servers = connect(self.address)
        self._gathering = Gathering(self._gathered, _GROUP)
        self._sets = 0
        self._sweeps = 0

    def __repr__(self) -> str:
        return f"RedisStore({str(self.address)!r})"

    async def get(self, io: IO, key: str) -> bytes | None:
        name, shelf = self._place(key)
        data, row = await self._ask(io, shelf, (("GET", shelf.entry + name), ("ZSCORE", shelf.list, name)))
        return None if row is None else _value(data)

    async def find(self, io: IO, key: str) -> Found | None:
        name, shelf = self._place(key)
        entry = shelf.entry + name
        asked: list[Command] = [("GET", entry), ("PTTL", entry), ("ZSCORE", shelf.list, name)]
        data, left, row = await self._ask(io, shelf, asked)
        value = None if row is None or type(left) is not int or left <= 0 else _value(data)
        return None if value is None else Found(value, left / 1000)

    async def set(
        self, io: IO, key: str, value: bytes, *, lifetime: float, scope: str = "", tags: Iterable[str] = ()
    ) -> bool:
        if type(value) is not bytes:
            raise TypeError("expected bytes")
        words = _joined(labels(scope, tags))
        if not lifetime > 0 or len(words) > _MOST_LABELS or len(value) > _LARGEST:
            await self.delete(io, key)
            return False
        name, shelf = self._place(key)
        arguments = b"".join((b"%04x" % len(words), words, value)), _milliseconds(min(lifetime, LONGEST)), name
        done = await self._tell(io, shelf, [_call(_SET, (shelf.entry + name, shelf.list), arguments)])
        self._sets += 1
        if self._sets % _SWEEP_EVERY == 0:
            io.later(self._sweep)
        return done == [1]

    async def delete(self, io: IO, key: str) -> bool:
        name, shelf = self._place(key)
        return await self._tell(io, shelf, (("DEL", shelf.entry + name), ("ZREM", shelf.list, name))) == [1, 1]

    async def forget(
        self, io: IO, *, scope: str | None = None, tag: str | None = None, older_than: float | None = None
    ) -> int:
        words = [_joined((word,)) for word in wanted(scope, tag)]
        # What is set from now on stays: nothing is older than minus a millisecond.
        age = -1 if older_than is None else _milliseconds(older_than)
        return await io.run(lambda: self._forget(words, age), group=_GROUP)

    async def stats(self, io: IO) -> Stats:
        """How much it holds. Bytes are estimated from twenty answers of each of the 64 lists."""
        return await io.run(self._stats, group=_GROUP)

    async def lease(self, io: IO, name: str, owner: str, *, lifetime: float) -> bool:
        what, shelf = self._place(name)
        arguments = _name(owner), _milliseconds(min(lifetime, LONGEST_LEASE))
        (got,) = await self._ask(io, shelf, [_call(_LEASE, (shelf.lease + what,), arguments)])
        if type(got) is not int:
            raise StoreError(f"{self.address} has another program's value in the place of a lease")
        return got == 1

    async def release(self, io: IO, name: str, owner: str) -> None:
        what, shelf = self._place(name)
        await self._tell(io, shelf, [_call(_RELEASE, (shelf.lease + what,), (_name(owner),))])

    def close(self) -> None:
        self._servers.close()

    def _place(self, key: str) -> tuple[bytes, _Shelf]:
        name = _name(key)
        return name, self._shelves[zlib.crc32(name) % _SHELVES]

    async def _ask(self, io: IO, shelf: _Shelf, commands: Sequence[Command]) -> list[Reply]:
        """Answers to commands about one shelf; None to one that found a value of another type: somebody else's."""
        request = _Request(shelf.tag, commands)
        if isinstance(io, AsyncIO):
            return _checked(await self._gathering.ask(io, request))
        deadline = time.monotonic() + self.timeout
        earlier = getattr(io, "deadline", None)
        return _checked(self._answer((request,), deadline if earlier is None else min(deadline, earlier))[0])

    async def _tell(self, io: IO, shelf: _Shelf, commands: Sequence[Command]) -> list[Reply]:
        """The same for what no call waits for."""
        request = _Request(shelf.tag, commands)
        work = lambda: self._answer((request,), time.monotonic() + self.patience)[0]  # noqa: E731
        return _checked(await io.run(work, group="redis writing"))

    # What follows blocks.

    def _gathered(self, requests: Sequence[_Request]) -> list[list[Reply] | StoreError]:
        return self._answer(requests, time.monotonic() + self.timeout)

    def _answer(self, requests: Sequence[_Request], deadline: float) -> list[list[Reply] | StoreError]:
        try:
            if len(requests) == 1:
                replies = [self._servers.ask(requests[0].tag, requests[0].commands, deadline)]
            else:
                flat = [(request.tag, command) for request in requests for command in request.commands]
                found = iter(self._servers.ask_all(flat, deadline))
                replies = [[next(found) for _ in request.commands] for request in requests]
            for request, some in zip(requests, replies, strict=True):
                for at, reply in enumerate(some):
                    if isinstance(reply, NoScriptError):
                        # It was restarted, or is another server.
                        some[at : at + 1] = self._servers.ask(request.tag, [_in_full(request.commands[at])], deadline)
        except Exception as error:  # noqa: BLE001 - of the network, redis-py, or whatever garbage makes of them
            return [self._failed(error) for _ in requests]
        return [self._judged(some) for some in replies]

    def _judged(self, replies: list[Reply]) -> list[Reply] | StoreError:
        for at, reply in enumerate(replies):
            if isinstance(reply, Exception):
                if not str(reply).startswith("WRONGTYPE"):
                    return self._failed(reply)
                replies[at] = None
        return replies

    def _failed(self, error: Exception) -> StoreError:
        kind = StoreBusy if isinstance(error, Crowded) else StoreError
        failure = kind(f"{self.address} {_trouble(error)}")
        failure.__cause__ = error
        return failure

    def _ask_all(self, asked: Sequence[tuple[int, Command]]) -> list[Reply]:
        requests = [_Request(self._shelves[number].tag, (command,)) for number, command in asked]
        found: list[Reply] = []
        for answer in self._answer(requests, time.monotonic() + _PATIENCE) if requests else ():
            found += _checked(answer)
        return found

    def _forget(self, words: Sequence[bytes], age: int) -> int:
        count = 0
        for first in range(0, _SHELVES, _TOGETHER):
            todo = dict.fromkeys(range(first, first + _TOGETHER), 0)
            while todo:
                pages = self._pages(todo)
                calls = [self._forgetting(number, rows, words, age) for number, (_, rows) in pages.items() if rows]
                count += sum(reply for reply in self._ask_all(calls) if type(reply) is int)
                todo = {number: cursor for number, (cursor, _) in pages.items() if cursor}
        return count

    def _pages(self, todo: dict[int, int]) -> dict[int, tuple[int, list[bytes]]]:
        """One more page of each of these lists, and where the next one begins, 0 after the last."""
        asked = [(number, ("ZSCAN", self._shelves[number].list, todo[number], "COUNT", _SLICE)) for number in todo]
        return {number: _page(reply) for number, reply in zip(todo, self._ask_all(asked), strict=True)}

    def _forgetting(self, number: int, rows: Sequence[bytes], words: Sequence[bytes], age: int) -> tuple[int, Command]:
        shelf = self._shelves[number]
        keys = (shelf.list, *(shelf.entry + row for row in rows))
        return number, _call(_FORGET, keys, (age, len(words), *words, *rows))

    def _sweep(self) -> None:
        """Take off a list what Redis has evicted, as long as there is much of it."""
        number, cursor = self._sweeps % _SHELVES, 0
        self._sweeps += 1
        length: tuple[int, Command] = (number, ("ZCARD", self._shelves[number].list))
        with suppress(StoreError):  # the next one is as good
            for _ in range(_SWEEP_MOST):
                cursor, rows = self._pages({number: cursor})[number]
                # Nothing is as old as that.
                forgetting = [self._forgetting(number, rows, (), 10**15)] if rows else []
                had, *_, has = self._ask_all([length, *forgetting, length])
                if not cursor or type(had) is not int or type(has) is not int or (had - has) * 10 < len(rows):
                    return

    def _stats(self) -> Stats:
        numbers = range(_SHELVES)
        counts = self._ask_all([(number, ("ZCARD", self._shelves[number].list)) for number in numbers])
        rows = self._ask_all([(number, ("ZRANGE", self._shelves[number].list, 0, _SAMPLE - 1)) for number in numbers])
        samples = {number: sample for number, sample in enumerate(rows) if isinstance(sample, list)}
        sizes = iter(
            self._ask_all(
                [
                    (number, ("STRLEN", self._shelves[number].entry + row))
                    for number in samples
                    for row in samples[number]
                ]
            )
        )
        entries = total = 0.0
        for number, sample in samples.items():
            there = [size for size in [next(sizes) for _ in sample] if type(size) is int and size > 0]
            share = counts[number] / len(sample) if sample and type(counts[number]) is int else 0.0
            entries += len(there) * share
            total += (sum(there) + len(there) * _ROW) * share
        return Stats(round(entries), round(total))


class _Request(NamedTuple):
    tag: bytes
    commands: Sequence[Command]


class _Shelf:
    """Names of keys with one hash tag."""

    __slots__ = ("entry", "lease", "list", "tag")

    def __init__(self, prefix: str, number: int) -> None:
        self.tag = f"{prefix}:{{{number}}}:".encode()
        self.entry = self.tag + b"e:"
        self.lease = self.tag + b"l:"
        self.list = self.tag + b"k"


def _checked(answer: list[Reply] | StoreError) -> list[Reply]:
    if isinstance(answer, StoreError):
        raise answer
    return answer


def _value(data: Reply) -> bytes | None:
    """The value in what is kept. None for what ``set`` has not made."""
    if type(data) is not bytes or data[:4] != b"ILR1":
        return None
    try:
        return data[_HEAD + int(data[20:_HEAD], 16) :]
    except ValueError:
        return None


def _page(reply: Reply) -> tuple[int, list[bytes]]:
    if not isinstance(reply, list | tuple) or len(reply) != 2:
        return 0, []
    cursor, pairs = reply
    return int(cursor), list(pairs[::2])


def _call(script: _Script, keys: Sequence[bytes], arguments: Sequence[bytes | int]) -> Command:
    return ("EVALSHA", script.digest, len(keys), *keys, *arguments)


_TEXTS: Final = {script.digest: script.text for script in (_SET, _FORGET, _LEASE, _RELEASE)}


def _in_full(command: Command) -> Command:
    return ("EVAL", _TEXTS[str(command[1])], *command[2:]) if command[0] == "EVALSHA" else command


def _name(key: str) -> bytes:
    return key.encode("utf-8", "surrogatepass")


def _joined(words: Sequence[str]) -> bytes:
    """Words that each can be found in, whole, whatever is in it."""
    if not words:
        return b""
    return b"\0".join((b"", *(_name(word).replace(b"\\", b"\\\\").replace(b"\0", b"\\0") for word in words), b""))


def _milliseconds(seconds: float) -> int:
    return max(1, round(min(seconds, LONGEST) * 1000))


def _trouble(error: Exception) -> str:
    """In words without an address or a password in them."""
    if isinstance(error, ResponseError):
        return f"refused: {type(error).__name__}"
    if isinstance(error, Crowded):
        return f"is crowded: {error}"
    return f"failed: {type(error).__name__}"
