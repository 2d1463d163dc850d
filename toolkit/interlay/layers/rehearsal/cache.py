"""A cache's decisions, without the cache."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from decimal import Decimal
from heapq import heappop, heappush
from typing import Final, Literal, NamedTuple

import msgspec

from interlay.layers.rehearsal.parts import Decision
from interlay.layers.rehearsal.past import NOTHING, Past

_OVERHEAD: Final = 700
"""Bytes that a store takes for an entry beside the answer: its headers, key and labels, about."""

Key = tuple[str, ...]


class _Entry(msgspec.Struct, gc=False):
    created: float
    fresh_until: float
    gone_at: float
    size: int
    refreshed_at: float = 0.0
    """Until then the refresh of a stale answer is under way."""


class _Coming(NamedTuple):
    """An answer that will be there, or none where its size is below 0."""

    place: str
    key: Key
    past: Past
    size: int


class CacheRehearsal:
    """What a cache with these settings would have done, by its own words for it.

    An answer is there from the end of the call that made it. A call that was made before that end, with the same
    question, would have followed the one under way. What is kept is bounded as a store is: what was used the longest
    ago goes first.

    Args:
        ttl: seconds for which an answer is fresh.
        stale_while_revalidate: seconds after that for which it is given while a new one is asked for.
        stale_if_error: seconds for which it is given where the provider fails.
        max_temperature: above which nothing is looked for; None for any.
        vary_by: fields of the identity that tell callers apart, beside what the key tells already.
        single_flight: whether calls follow those that are under way.
        shared: whether processes see each other's answers, as they do not where a store is in memory.
        max_bytes: what a store may take; None for any amount.
        max_entries: how many answers it may hold.
        shadow: it would only have said what it does.
    """

    def __init__(  # noqa: PLR0913 - a cache's settings, by the names they have there
        self,
        *,
        ttl: float,
        stale_while_revalidate: float = 0.0,
        stale_if_error: float = 0.0,
        max_temperature: float | None = None,
        vary_by: Sequence[str] = (),
        single_flight: bool = True,
        shared: bool = False,
        max_bytes: int | None = None,
        max_entries: int | None = None,
        shadow: bool = False,
    ) -> None:
        self.ttl, self.stale_while_revalidate, self.stale_if_error = ttl, stale_while_revalidate, stale_if_error
        self.max_temperature = max_temperature
        self.vary_by = tuple(vary_by)
        self.single_flight = single_flight
        self.shared = shared
        self.shadow = shadow
        self._bounds = max_bytes, max_entries
        self._stores: dict[str, _Bounded] = {}
        self._coming: list[tuple[float, int, _Coming]] = []
        self._count = 0
        self._flying: dict[tuple[str, Key], Past] = {}

    def see(self, past: Past) -> Decision | None:
        """What it would have done: ``hit``, ``stale``, ``miss`` or ``bypass``, and why. None where nobody can know, as
        the question is not known."""
        self._arrive(past.at)
        decision = self._look(past)
        if decision is not None and decision.outcome == "miss" and past.only_if_cached:
            return msgspec.structs.replace(decision, does="refuse")
        return decision

    def _look(self, past: Past) -> Decision | None:
        reason = past.unfit or self._too_warm(past)
        if reason is not None:
            return self._decide("pass", "bypass", reason)
        key = self._key(past)
        if key is None:
            return None
        entry = self._store(past).get(key, past.at)
        if past.did is not None and past.did.reason == "no-cache":
            return self._decide("pass", "miss", "no-cache")
        if entry is not None and past.at < entry.fresh_until:
            return self._decide("answer", "hit", "fresh")
        if entry is not None and past.at <= entry.fresh_until + self.stale_while_revalidate:
            return self._stale(past, key, entry)
        leader = self._flying.get((self._place(past), key))
        if self.single_flight and leader is not None and leader.keepable:
            return self._decide("answer", "hit", "shared")
        if entry is not None and past.failed and past.ended_at <= entry.fresh_until + self.stale_if_error:
            return self._decide("answer", "stale", "error")
        return self._decide("pass", "miss", "absent" if entry is None else "expired")

    def sent(self, past: Past) -> None:
        """Keep its answer from its end on, if it may be kept."""
        key = self._key(past)
        if key is None or past.unfit is not None or self._too_warm(past) is not None:
            return
        self._flying.setdefault((self._place(past), key), past)
        if past.keepable:
            # What a hit would have taken, had it been none, is what the call took that made the answer.
            took = past.seconds if past.answered and past.seconds is not None else past.ended_at - past.at
            self._come(past.at + took, past, key)
        else:
            self._come(past.ended_at, past, key, size=-1)

    def _stale(self, past: Past, key: Key, entry: _Entry) -> Decision:
        spends: Decimal | None = NOTHING
        if past.at >= entry.refreshed_at:
            spends = past.price
            entry.refreshed_at = past.at + (past.seconds or 0.0)
            self._come(entry.refreshed_at, past, key)
        return self._decide("answer", "stale", "revalidating", spends)

    def _decide(
        self, does: Literal["pass", "answer"], outcome: str, reason: str, spends: Decimal | None = NOTHING
    ) -> Decision:
        return Decision(layer="cache", does=does, outcome=outcome, reason=reason, spends=spends, shadow=self.shadow)

    def _too_warm(self, past: Past) -> str | None:
        if self.max_temperature is None:
            return None
        asked = past.parameters.get("temperature")
        # Who does not say it gets the API's own, which is none that could be called low.
        warmth = asked if isinstance(asked, int | float) else 1.0
        return "temperature" if warmth > self.max_temperature else None

    def _key(self, past: Past) -> Key | None:
        if past.key is None:
            return None
        if not self.vary_by:
            return (past.key,)
        fields = [getattr(past.identity, field) for field in self.vary_by]
        return (past.key, *(f"{field}={value}" for field, value in zip(self.vary_by, fields, strict=True)))

    def _place(self, past: Past) -> str:
        return "" if self.shared else past.process

    def _store(self, past: Past) -> _Bounded:
        place = self._place(past)
        store = self._stores.get(place)
        if store is None:
            store = self._stores[place] = _Bounded(*self._bounds)
        return store

    def _come(self, at: float, past: Past, key: Key, size: int | None = None) -> None:
        """An answer will be there; of a ``size`` below 0 there will be none."""
        self._count += 1
        size = past.size + _OVERHEAD if size is None else size
        heappush(self._coming, (at, self._count, _Coming(self._place(past), key, past, size)))

    def _arrive(self, now: float) -> None:
        """Keep the answers that are complete by now."""
        while self._coming and self._coming[0][0] <= now:
            at, _, (place, key, past, size) = heappop(self._coming)
            if self._flying.get((place, key)) is past:
                del self._flying[place, key]
            if size >= 0:
                fresh_until = at + self.ttl
                gone_at = fresh_until + max(self.stale_while_revalidate, self.stale_if_error)
                store = self._stores.setdefault(place, _Bounded(*self._bounds))
                store.put(key, _Entry(at, fresh_until, gone_at, size))


class _Bounded:
    """Entries of one store. What was used the longest ago goes first."""

    def __init__(self, max_bytes: int | None, max_entries: int | None) -> None:
        self._max_bytes, self._max_entries = max_bytes, max_entries
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._bytes = 0

    def get(self, key: Key, now: float) -> _Entry | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if now >= entry.gone_at:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry

    def put(self, key: Key, entry: _Entry) -> None:
        self._drop(key)
        self._entries[key] = entry
        self._bytes += entry.size
        while self._entries and self._is_over():
            self._drop(next(iter(self._entries)))

    def _is_over(self) -> bool:
        return (self._max_bytes is not None and self._bytes > self._max_bytes) or (
            self._max_entries is not None and len(self._entries) > self._max_entries
        )

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size


def bound_of(store: object) -> int | None:
    """Bytes that a store may take, whatever guards it; of several tiers the last one's. None where it does not say."""
    store = getattr(store, "stores", (store,))[-1]
    while (inner := getattr(store, "store", None)) is not None:
        store = inner
    bytes_ = getattr(store, "max_bytes", None)
    return bytes_ if isinstance(bytes_, int) else None
