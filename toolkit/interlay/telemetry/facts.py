"""What a record says, as a flat dictionary of plain values under names of our own.

Nothing outside ``vocabulary.py`` writes an attribute's name: this module says *what* is known, that one says what
each destination calls it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

from interlay.model.cost import Cost
from interlay.model.record import Attempt, CacheOutcome, Failure, Identity, Link, Record, Verdict
from interlay.model.usage import Usage

Facts = dict[str, Any]
"""Fact to value. Values are what an attribute can hold (text, boolean, integer, float, a tuple of texts), but for
the few that a vocabulary composes something of: ``contents``, ``cost_lines``."""

# What a request was asked with, as dialects name it, and our names. The second of a pair makes it a double.
_PARAMETERS: Final = {
    "temperature": ("temperature", True),
    "top_p": ("top_p", True),
    "top_k": ("top_k", True),
    "frequency_penalty": ("frequency_penalty", True),
    "presence_penalty": ("presence_penalty", True),
    "max_tokens": ("max_tokens", False),
    "max_completion_tokens": ("max_tokens", False),
    "seed": ("seed", False),
    "n": ("choices", False),
    "reasoning_effort": ("reasoning_level", False),
    "service_tier": ("asked_tier", False),
}
_OUTPUT_TYPES: Final = {"text": "text", "json_object": "json", "json_schema": "json"}
_PARTS: Final = (
    "cache_read_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
    "input_audio_tokens",
    "input_image_tokens",
    "output_audio_tokens",
    "output_image_tokens",
    "cache_read_audio_tokens",
    "cache_read_image_tokens",
)
USAGE: Final = ("input_tokens", "output_tokens", *_PARTS)
"""Facts that count tokens."""
FUNCTIONS: Final = {"tool": "execute_tool", "agent": "invoke_agent", "workflow": "invoke_workflow"}
"""Functions that are observed, by the operation of their records, and what the conventions call a run of one."""
_APIS: Final = {"openai-chat": "chat_completions", "openai-responses": "responses"}
_FINISH: Final = {"tool_calls": "tool_call"}
REASONS: Final = frozenset(
    (
        # hits
        "fresh", "shared", "lease",
        # stale answers
        "revalidating", "error", "max-stale",
        # misses
        "absent", "expired", "no-cache", "form", "damaged", "unshared",
        # what is not looked for
        "no_dialect", "opaque", "sealed", "unreadable", "method", "no-store", "server_state", "server_tools", "files",
        "temperature",
        # failures of the cache's own
        "store",
    )
)  # fmt: skip
"""Why a look-up came out as it did, in the words that figures are kept by. All others are ``other`` there: a layer
that somebody wrote may have any number of them."""
CACHE: Final = (
    "cache_outcome", "cache_reason", "cache_age", "cache_entry", "cache_producer", "cache_seconds", "cache_shadow",
    "avoided",
)  # fmt: skip
"""Facts of a look-up and of what came of it."""


def exchange(record: Record, attempts: Sequence[Attempt]) -> Facts:
    """Facts of one exchange with a model: the sends to one target, of which at most the last was billed.

    Usage and cost are theirs alone, so that a sum over all exchanges is the record's own.
    """
    last = attempts[-1]
    served = last is record.attempts[-1]
    facts: Facts = {
        "operation": record.operation,
        "provider": last.provider,
        "model": last.model or record.model,
    }
    server = record.server
    if server is not None:
        facts["server_address"] = server.address
        facts["server_port"] = server.port
    if record.parameters:
        _add_parameters(facts, record.parameters)
    if record.streamed:
        facts["stream"] = True
    api = _APIS.get(record.dialect or "")
    if api is not None:
        facts["api"] = api
    if served:
        _add_response(facts, record)
    error = failure(record, last)
    if error is not None:
        facts["error_type"] = error.type
    if last.status is not None:
        facts["status"] = last.status
    if len(attempts) == 1:
        _add_usage(facts, last.usage)
        _add_cost(facts, last.cost)
    else:
        facts["attempts"] = len(attempts)
        for attempt in attempts:
            if attempt.billed or attempt is last:
                _add_usage(facts, attempt.usage)
                _add_cost(facts, attempt.cost)
    return facts


def http(record: Record, attempts: Sequence[Attempt]) -> Facts:
    """Facts of a request that no dialect knows."""
    last = attempts[-1]
    facts: Facts = {"method": record.method, "url": last.target}
    if record.server is not None:
        facts["server_address"] = record.server.address
        facts["server_port"] = record.server.port
    if last.status is not None:
        facts["status"] = last.status
    error = failure(record, last)
    if error is not None:
        facts["error_type"] = error.type
    if len(attempts) > 1:
        facts["attempts"] = len(attempts)
    return facts


def called(kind: str, name: str) -> Facts:
    """Facts of an observed function, which are known before it runs."""
    return {"operation": FUNCTIONS[kind], f"{kind}_name": name}


def function(record: Record) -> Facts:
    """Facts of a run of a function that is observed. What it was given and gave are ``given`` and ``gave``."""
    facts = called(record.operation, record.target)
    if record.end == "error" and record.error is not None:
        facts["error_type"] = record.error.type
    kept = record.contents
    if kept is not None:
        facts["given"] = kept.input[0]["content"][0]["arguments"] if kept.input else {}
        facts["gave"] = [part["text"] for said in kept.output for part in said["content"]]
    return facts


def failure(record: Record, last: Attempt) -> Failure | None:
    """What went wrong with an exchange whose last send this was. Who left early did not fail."""
    error = last.error
    if record.end == "error" and last is record.attempts[-1] and record.error is not None:
        error = record.error
    return None if error is None or error.type == "cancelled" else error


def run(record: Record) -> Facts:
    """Facts of a record as a whole: who asked, how it ended, what it came to. Usage and cost are not among them;
    they stand on the exchange that was billed.
    """
    facts: Facts = {"call_id": record.call_id, "record_id": record.id, "end": record.end, "outcome": outcome(record)}
    _add_identity(facts, record.identity)
    attempts = record.attempts
    if len(attempts) > 1:
        facts["attempts"] = len(attempts)
    facts["overhead"] = record.overhead
    if record.cache is not None:
        facts |= lookup(record)
        if record.cache.seconds:
            facts["cache_seconds"] = record.cache.seconds
    if record.verdicts:
        # The gravest of what was decided in earnest.
        verdicts = [v.action for v in record.verdicts if not v.shadow and v.action != "retry"]
        if verdicts:
            facts["verdict"] = max(verdicts, key=_GRAVITY.index)
    if record.changes:
        facts["changes"] = tuple(f"{change.by}: {change.what}" for change in record.changes)
    cost = record.cost
    if cost is not None and cost.avoided is not None:
        facts["avoided"] = float(cost.avoided)
    if record.parent_id is not None:
        facts["parent_record"] = record.parent_id
    return facts


def contents(record: Record) -> Facts:
    """The messages of a record that kept them, for whoever wants them on its span; else nothing."""
    return {} if record.contents is None else {"contents": (record.contents, record.dialect)}


def attempt(number: int, send: Attempt) -> Facts:
    """Facts of one send among several to the same target."""
    facts: Facts = {"attempt": number}
    if send.status is not None:
        facts["status"] = send.status
    if send.error is not None:
        facts["error_type"] = send.error.type
    return facts


def check(verdict: Verdict) -> Facts:
    """Facts of one decision, where it stands by itself."""
    facts: Facts = {"guard": verdict.layer, "verdict": verdict.action, "guard_reason": verdict.reason}
    if verdict.shadow:
        facts["shadow"] = True
    return facts


def lookup(record: Record) -> Facts:
    """Facts of a record's look-up, on the whole and where it stands by itself."""
    cache = record.cache
    assert cache is not None
    facts: Facts = {"cache_outcome": cache.outcome, "cache_reason": cache.reason}
    if cache.age is not None:
        facts["cache_age"] = cache.age
    if cache.entry is not None:
        facts["cache_entry"] = cache.entry
    if cache.shadow:
        facts["cache_shadow"] = True
    producer = producer_of(record)
    if producer is not None:
        facts["cache_producer"] = producer.id  # there are backends that keep no links
    return facts


def producer_of(record: Record) -> Link | None:
    """The record whose answer this one was given, where it made none of its own."""
    if not answered_by_cache(record):
        return None
    return next((link for link in record.links if link.kind in _PRODUCERS), None)


def answered_by_cache(record: Record) -> bool:
    """Whether a cache gave the answer, fresh or stale. It did not if it only said that it would, nor where the call
    followed another one and had to take over its request."""
    cache = record.cache
    if cache is None or cache.outcome not in ("hit", "stale") or cache.shadow:
        return False
    return not any(send.billed for send in record.attempts)


def is_refresh(record: Record) -> bool:
    """Whether a cache made the call for itself, to have an answer that is not stale: nobody asked it anything."""
    cache = record.cache
    return cache is not None and (cache.outcome, cache.reason) == ("miss", "revalidating")


def reason_of(cache: CacheOutcome) -> str:
    """Why a look-up came out as it did: one of ``REASONS``, or ``other``."""
    return cache.reason if cache.reason in REASONS else "other"


_PRODUCERS: Final = ("cache_producer", "follower")


def outcome(record: Record) -> str:
    """How a run came out, in a word: ``ok``, ``cache_hit``, ``blocked``, ``cancelled``, ``error``."""
    if record.end == "error":
        error = record.error
        return "blocked" if error is not None and error.type == "guard_blocked" else "error"
    if record.end == "cancelled":
        return "cancelled"
    return "cache_hit" if answered_by_cache(record) else "ok"


_GRAVITY: Final = ("allow", "annotate", "redact", "reroute", "retry", "block")


def _add_parameters(facts: Facts, parameters: dict[str, Any]) -> None:
    for key, value in parameters.items():
        known = _PARAMETERS.get(key)
        if known is not None:
            name, is_double = known
            facts[name] = float(value) if is_double else value
        elif key == "response_format" and value in _OUTPUT_TYPES:
            facts["output_type"] = _OUTPUT_TYPES[value]
    if facts.get("choices") == 1:
        del facts["choices"]


def _add_response(facts: Facts, record: Record) -> None:
    response = record.response
    if response is not None:
        facts["response_id"] = response.id
        reasons = response.finish_reasons
        if reasons:
            facts["finish_reasons"] = tuple([_FINISH.get(reason, reason) for reason in reasons])
        elif record.streamed and record.end == "error":
            facts["died"] = ("error",)
        if response.service_tier is not None:
            facts["served_tier"] = response.service_tier
        if response.request_id is not None:
            facts["request_id"] = response.request_id
    facts["response_model"] = record.served_model
    if record.streamed:
        if record.time_to_first_event is not None:
            facts["first_chunk"] = record.time_to_first_event
        if record.first_event_at is not None:
            facts["first_chunk_at"] = record.first_event_at


def _add_usage(facts: Facts, usage: Usage | None) -> None:
    if usage is None:
        return
    if usage.input_tokens is not None:
        facts["input_tokens"] = facts.get("input_tokens", 0) + usage.input_tokens
    if usage.output_tokens is not None:
        facts["output_tokens"] = facts.get("output_tokens", 0) + usage.output_tokens
    # One by one, not by name: this is done for every call, and nearly all are zero.
    if usage.cache_read_tokens:
        _add(facts, "cache_read_tokens", usage.cache_read_tokens)
    if usage.cache_write_tokens:
        _add(facts, "cache_write_tokens", usage.cache_write_tokens)
    if usage.reasoning_tokens:
        _add(facts, "reasoning_tokens", usage.reasoning_tokens)
    if usage.input_audio_tokens:
        _add(facts, "input_audio_tokens", usage.input_audio_tokens)
    if usage.input_image_tokens:
        _add(facts, "input_image_tokens", usage.input_image_tokens)
    if usage.output_audio_tokens:
        _add(facts, "output_audio_tokens", usage.output_audio_tokens)
    if usage.output_image_tokens:
        _add(facts, "output_image_tokens", usage.output_image_tokens)
    if usage.cache_read_audio_tokens:
        _add(facts, "cache_read_audio_tokens", usage.cache_read_audio_tokens)
    if usage.cache_read_image_tokens:
        _add(facts, "cache_read_image_tokens", usage.cache_read_image_tokens)
    if usage.flags:
        facts["usage_flags"] = usage.flags


def _add(facts: Facts, fact: str, count: int) -> None:
    facts[fact] = facts.get(fact, 0) + count


def _add_cost(facts: Facts, cost: Cost | None) -> None:
    if cost is None:
        return
    facts["cost_source"] = cost.source
    if cost.amount is not None:
        facts["cost"] = facts.get("cost", 0.0) + float(cost.amount)
        facts["cost_lines"] = (*facts.get("cost_lines", ()), *cost.lines)
        for line in cost.lines:
            if line.price_from is not None:
                facts["price_from"] = line.price_from
                break
    elif cost.reason is not None:
        facts["cost_reason"] = cost.reason
    if cost.estimated:
        facts["estimated"] = True


def _add_identity(facts: Facts, identity: Identity) -> None:
    if identity.user is not None:
        facts["user"] = identity.user
        facts["user_hash"] = digest(identity.user)
    if identity.session is not None:
        facts["conversation"] = identity.session
    if identity.tenant is not None:
        facts["tenant"] = identity.tenant
    if identity.key is not None:
        facts["key_hash"] = digest(identity.key)
    if identity.tags:
        facts["tags"] = identity.tags


@lru_cache(1024)
def digest(word: str) -> str:
    """Sixteen hexadecimal digits that stand for a name: equal names, equal digits."""
    return hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8, person=b"interlay").hexdigest()
