"""Calls as they were recorded, ready to be decided about once more."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from decimal import Decimal
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import urlsplit

import msgspec

from interlay import dialects
from interlay.model.record import CacheOutcome, Identity, Record

_MOST_KEYS: Final = 200_000
"""Keys of which is remembered what an answer took."""
_CONFIGURED: Final = frozenset(("temperature",))
"""Reasons for passing a cache by that are the configuration's and not the request's."""
_BUSY: Final = frozenset((408, 429, 500, 502, 503, 504, 529))
_FILTERED: Final = "content_filter"
_REFRESH: Final = ("miss", "revalidating")
NOTHING: Final = Decimal(0)
_encoder: Final = msgspec.json.Encoder(order="sorted")


class Past(msgspec.Struct, frozen=True, kw_only=True):
    """A run of a chain that was recorded, as rehearsals see it."""

    id: str
    call_id: str
    parent_id: str | None
    """The call, or the observed function, during which it was made."""
    at: float
    """When it began, seconds since the epoch."""
    ended_at: float
    process: str
    """Stands for the process that made it."""
    model: str | None
    identity: Identity
    parameters: dict[str, Any]
    key: str | None
    """Stands for the question: equal questions of one caller, equal keys. None where that cannot be known."""
    keyed_by: Literal["record", "contents"] | None
    """Whether a cache wrote the key into the record, or it was made of the messages that were kept."""
    did: CacheOutcome | None
    """What a cache did at the time."""
    answered: bool
    """Whether a cache gave the answer, at the time."""
    unfit: str | None
    """Why no cache may answer it, whatever its configuration."""
    keepable: bool
    """Whether it ended in an answer that may be given again."""
    failed: bool
    """Whether the provider could not answer: it was not there, or busy."""
    is_refresh: bool
    """Whether a cache made it for itself, to have an answer that is not stale."""
    only_if_cached: bool
    """Whether it was refused, as the provider was not to be asked."""
    size: int
    """Bytes of its answer, about."""
    price: Decimal | None
    """US dollars that it costs to send it; None where nobody knows."""
    spent: Decimal | None
    """US dollars that it did cost."""
    seconds: float | None
    """That the provider took, or would have taken; None where nobody knows."""


class _Answer(NamedTuple):
    """What an answer took when it was made."""

    price: Decimal | None
    seconds: float
    size: int


class Reader:
    """Makes pasts of records, which come in the order in which they were written."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Answer] = OrderedDict()

    def past(self, record: Record) -> Past:
        """What a record says. What a hit would have cost is taken from it, or from the call that made its answer."""
        key, keyed_by = _key(record)
        cost, response = record.cost, record.response
        answered = _was_answered(record)
        size = response.bytes if response is not None else 0
        price: Decimal | None
        seconds: float | None
        if record.dialect is not None and not record.attempts:
            made = self._known.get(key) if key is not None else None
            price = cost.avoided if cost is not None and answered else None
            seconds = None
            if made is not None:
                price = made.price if price is None else price
                seconds, size = made.seconds, size or made.size
        else:
            # What is no call to a model has no cost.
            price, seconds = cost.amount if cost is not None else NOTHING, record.duration
            if key is not None and _kept(record):
                self._remember(key, _Answer(price, seconds, size))
        return Past(
            id=record.id,
            call_id=record.call_id,
            parent_id=record.parent_id,
            at=record.started_at,
            ended_at=record.ended_at,
            process=_process(record.resource),
            model=record.model,
            identity=record.identity,
            parameters=record.parameters,
            key=key,
            keyed_by=keyed_by,
            did=record.cache,
            answered=answered,
            unfit=_unfit(record, keyed_by),
            keepable=answered or _kept(record),
            failed=_failed(record),
            is_refresh=record.cache is not None and (record.cache.outcome, record.cache.reason) == _REFRESH,
            only_if_cached=record.error is not None and record.error.type == "only_if_cached",
            size=size,
            price=price,
            spent=cost.amount if cost is not None else NOTHING,
            seconds=seconds,
        )

    def _remember(self, key: str, answer: _Answer) -> None:
        self._known[key] = answer
        if len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)


def _was_answered(record: Record) -> bool:
    """A call that followed another one and took over its request was sent for."""
    did = record.cache
    if did is None or did.outcome not in ("hit", "stale") or did.shadow:
        return False
    return not any(send.billed for send in record.attempts)


def _failed(record: Record) -> bool:
    last = record.attempts[-1] if record.attempts else None
    return last is not None and (last.status in _BUSY or (last.status is None and last.error is not None))


def _process(resource: dict[str, Any]) -> str:
    return f"{resource.get('host.name', '')} {resource.get('process.pid', '')}"


def _kept(record: Record) -> bool:
    """Whether a cache may keep an answer that came like this, as far as records tell: complete, and not filtered."""
    response = record.response
    return (
        record.end == "complete"
        and record.dialect is not None
        and record.body != "opaque"
        and response is not None
        and (response.status or 200) < 400
        and _FILTERED not in response.finish_reasons
    )


def _unfit(record: Record, keyed_by: str | None) -> str | None:
    did = record.cache
    if did is not None and did.outcome == "bypass" and did.reason not in _CONFIGURED:
        return did.reason
    if record.dialect is None:
        return "no_dialect"
    if record.method != "POST":
        return "method"
    if record.body == "opaque":
        return "opaque"
    return _unfit_by_messages(record) if keyed_by == "contents" else None


def _unfit_by_messages(record: Record) -> str | None:
    """Why no cache may answer it, as far as its messages and tools tell: nobody kept the rest of the request."""
    dialect, kept = dialects.named(record.dialect or ""), record.contents
    turns: str | None = getattr(dialect, "turns", None)
    if dialect is None or kept is None or turns is None:
        return None
    body: dict[str, Any] = {"model": record.model, **record.parameters, turns: kept.input}
    if kept.tools:
        body["tools"] = kept.tools
    return dialect.unfit(body, urlsplit(record.target).path)


def _key(record: Record) -> tuple[str | None, Literal["record", "contents"] | None]:
    """The cache's own key where there was a cache, else one of what is known of the question.

    Messages are kept after redaction, so two questions that differ in a secret alone are one here.
    """
    if record.key is not None:
        return record.key, "record"
    kept = record.contents
    if kept is None or kept.truncated or not kept.input:
        return None, None
    parts = (
        record.operation, record.dialect, record.provider, record.model, record.identity.tenant, record.parameters,
        kept.input, kept.tools,
    )  # fmt: skip
    return hashlib.blake2b(_encoder.encode(parts), digest_size=16).hexdigest(), "contents"
