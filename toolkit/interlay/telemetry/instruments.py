"""The one place where metrics have names: what is counted, in which unit, by which labels.

The GenAI conventions' metrics come in two columns, as their attributes do (see ``vocabulary.py``). What no
convention has a name for is under ``interlay.``. No label holds a user, a key, a conversation or a call: what grows
with traffic is no label.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from interlay.telemetry.vocabulary import TABLE, VocabularyName

Kind = Literal["counter", "gauge", "histogram"]

DURATIONS: Final = tuple(0.01 * 2**power for power in range(14))
"""Seconds: .01 .02 .04 … 81.92, as the conventions have them."""
TOKENS: Final = tuple(4**power for power in range(14))
"""1 4 16 … 67108864, as the conventions have them."""
OVERHEADS: Final = (0.00001, 0.00002, 0.00005, 0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.1, 1.0)
"""Seconds that are ours."""


@dataclass(frozen=True, eq=False, slots=True)
class Instrument:
    """One metric. There is one object of each, and it is equal to itself alone: they are keys, and looked up often."""

    name: str
    kind: Kind
    unit: str
    description: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()


def _named(*facts: str) -> tuple[str, ...]:
    """The attributes' names, which metrics share with spans."""
    return tuple([TABLE[fact].genai or fact for fact in facts])


_EXCHANGE: Final = _named("operation", "provider", "model", "response_model", "server_address", "server_port")
_FAILING: Final = (*_EXCHANGE, *_named("error_type"))
_TYPED: Final = (*_EXCHANGE, "gen_ai.token.type")
_MODAL: Final = (*_EXCHANGE, "gen_ai.token.modality")
_WHO: Final = _named("provider", "model")


class Conventional(NamedTuple):
    """The metrics of the GenAI conventions, in one of their versions."""

    duration: Instrument
    embeddings_duration: Instrument
    first_chunk: Instrument
    per_chunk: Instrument
    token_usage: Instrument | None = None
    """Tokens of both kinds in one histogram, told apart by a label."""
    input_tokens: Instrument | None = None
    output_tokens: Instrument | None = None
    """A histogram of each, and counters of each kind and part."""
    usage: dict[str, Instrument] | None = None

    def all(self) -> list[Instrument]:
        """Each once."""
        some = [self.duration, self.embeddings_duration, self.first_chunk, self.per_chunk]
        some += [i for i in (self.token_usage, self.input_tokens, self.output_tokens) if i is not None]
        return list(dict.fromkeys([*some, *(self.usage or {}).values()]))


def _seconds(name: str, description: str, labels: tuple[str, ...], bounds: tuple[float, ...] = DURATIONS) -> Instrument:
    return Instrument(name, "histogram", "s", description, labels, bounds)


def _count(name: str, unit: str, description: str, *labels: str) -> Instrument:
    return Instrument(name, "counter", unit, description, labels)


_DURATION: Final = _seconds("gen_ai.client.operation.duration", "Duration of an exchange with a model", _FAILING)
_OLD: Final = Conventional(
    duration=_DURATION,
    embeddings_duration=_DURATION,
    first_chunk=_seconds(
        "gen_ai.client.operation.time_to_first_chunk", "Time until a stream's first chunk came", _EXCHANGE
    ),
    per_chunk=_seconds(
        "gen_ai.client.operation.time_per_output_chunk", "Time between a stream's chunks after the first", _EXCHANGE
    ),
    token_usage=Instrument(
        "gen_ai.client.token.usage", "histogram", "{token}", "Tokens of an exchange", _TYPED, TOKENS
    ),
)


def _used(part: str, description: str) -> Instrument:
    return _count(f"gen_ai.client.inference.usage.{part}", "{token}", description, *_MODAL)


def _tokens(part: str, description: str) -> Instrument:
    name = f"gen_ai.client.inference.operation.{part}"
    return Instrument(name, "histogram", "{token}", description, _EXCHANGE, TOKENS)


_NEW: Final = Conventional(
    duration=_seconds("gen_ai.client.inference.duration", "Duration of an exchange with a model", _FAILING),
    embeddings_duration=_seconds("gen_ai.client.embeddings.duration", "Duration of an embedding", _FAILING),
    first_chunk=_seconds(
        "gen_ai.client.inference.time_to_first_chunk", "Time until a stream's first chunk came", _EXCHANGE
    ),
    per_chunk=_seconds(
        "gen_ai.client.inference.time_per_output_chunk", "Time between a stream's chunks after the first", _EXCHANGE
    ),
    input_tokens=_tokens("input_tokens", "Tokens of an exchange's prompt"),
    output_tokens=_tokens("output_tokens", "Tokens of an exchange's answer"),
    usage={
        "input_tokens": _used("input_tokens", "Tokens of prompts"),
        "output_tokens": _used("output_tokens", "Tokens of answers"),
        "cache_read_tokens": _used("cache_read.input_tokens", "Of prompts: read from the provider's cache"),
        "cache_write_tokens": _used("cache_write.input_tokens", "Of prompts: written to the provider's cache"),
        "reasoning_tokens": _used("reasoning.output_tokens", "Of answers: spent on reasoning"),
    },
)


def conventional(vocabulary: VocabularyName) -> Conventional:
    """The conventions' metrics as a vocabulary has them."""
    return _NEW if vocabulary == "genai-next" else _OLD


CALLS: Final = _count(
    "interlay.calls",
    "{call}",
    "Runs of a chain, by how they came out",
    *_named("outcome", "end", "provider", "alias", "cache_outcome", "cost_source", "error_type"),
)
CALL_DURATION: Final = _seconds(
    "interlay.call.duration", "Duration of a run, from the first layer to its end", _named("outcome", "alias")
)
OVERHEAD: Final = _seconds("interlay.overhead.duration", "Of a run: the time spent in interlay itself", (), OVERHEADS)
COST: Final = _count("interlay.cost.usd", "{USD}", "What was spent", *_WHO, *_named("cost_source", "tenant"))
SAVED: Final = _count("interlay.cost.saved.usd", "{USD}", "What cache hits did not spend", *_named("alias", "tenant"))
TOKENS_USED: Final = _count(
    "interlay.tokens", "{token}", "Tokens by kind, each counted once", *_WHO, "gen_ai.token.type"
)
CACHE: Final = _count(
    "interlay.cache.requests",
    "{request}",
    "Look-ups, by what they found and why",
    *_named("cache_outcome", "cache_reason", "shadow"),
)
CACHE_DURATION: Final = _seconds(
    "interlay.cache.duration", "Time that look-ups took", _named("cache_outcome"), OVERHEADS
)
CHECKS: Final = _count(
    "interlay.guard.checks",
    "{check}",
    "What guards decided",
    "interlay.guard.name",
    *_named("verdict"),
    "interlay.shadow",
)
CHECK_DURATION: Final = _seconds("interlay.guard.duration", "Time that guards took to decide", ("interlay.guard.name",))
RETRIES: Final = _count(
    "interlay.retries", "{send}", "Sends after the first to one target", *_named("provider", "error_type")
)
FALLBACKS: Final = _count(
    "interlay.fallbacks", "{call}", "Exchanges with another target than before", "interlay.fallback.from",
    "interlay.fallback.to", *_named("error_type"),
)  # fmt: skip
INFLIGHT: Final = Instrument("interlay.inflight", "gauge", "{call}", "Runs that have not ended", ())

SENT: Final = _count("interlay.spool.sent", "{record}", "Records that a destination took", "interlay.destination")
DROPPED: Final = _count(
    "interlay.spool.dropped", "{record}", "Records that did not reach a destination", "interlay.destination",
    "interlay.drop.reason",
)  # fmt: skip
FAILURES: Final = _count(
    "interlay.spool.failures", "{request}", "Requests to a destination that failed", "interlay.destination",
    *_named("error_type"),
)  # fmt: skip
WAITING: Final = Instrument(
    "interlay.spool.bytes", "gauge", "By", "Of the journal: what waits for a destination", ("interlay.destination",)
)
OLDEST: Final = Instrument(
    "interlay.spool.oldest.age", "gauge", "s", "Age of the oldest record that waits", ("interlay.destination",)
)

OURS: Final = (
    CALLS, CALL_DURATION, OVERHEAD, COST, SAVED, TOKENS_USED, CACHE, CACHE_DURATION, CHECKS, CHECK_DURATION, RETRIES,
    FALLBACKS, INFLIGHT, SENT, DROPPED, FAILURES, WAITING, OLDEST,
)  # fmt: skip
TO_COME: Final = frozenset((CHECKS, CHECK_DURATION, FALLBACKS))
"""Of these: what guards and routing will fill; no layer of this version does."""
