"""The one place where attributes have names: a row a fact, a column a destination's vocabulary.

``genai-1.41`` is what OpenTelemetry's GenAI conventions said last in the main repository, and what every backend
reads; ``genai-next`` is the newest text of their own repository, for those who ask for it
(``OTEL_SEMCONV_STABILITY_OPT_IN=gen_ai_latest_experimental``). The two differ in names that hold money: a backend
that knows only ``cache_creation`` bills written cache tokens as plain input when it is sent ``cache_write``.
``openinference``, ``langfuse`` and ``mlflow`` are what those backends read best. A span is written in one vocabulary,
at export: backends that find two on one span count twice.

The pip package of the conventions is not used: its GenAI constants are frozen and deprecated.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal, NamedTuple, get_args

from interlay.model.cost import CostLine
from interlay.telemetry.facts import Facts
from interlay.telemetry.messages import bounded, said, text_of, to_json

Value = str | bool | int | float | tuple[str, ...] | list[object] | dict[str, object]
"""What an attribute holds. Lists and dictionaries occur in log events only."""
Attributes = dict[str, Value]

VocabularyName = Literal["genai-1.41", "genai-next", "openinference", "langfuse", "mlflow"]
NAMES: Final[tuple[VocabularyName, ...]] = get_args(VocabularyName)


class Row(NamedTuple):
    """What one fact is called in each vocabulary; None where it has no name of its own there, or must not have."""

    genai: str | None
    next: str | None
    openinference: str | None
    langfuse: str | None
    mlflow: str | None


def _all(name: str) -> Row:
    return Row(name, name, name, name, name)


def _genai(name: str) -> Row:
    """Known to those who read the conventions' names."""
    return Row(name, name, None, name, name)


def _tokens(old: str | None, new: str | None, openinference: str | None) -> Row:
    """A usage figure. Langfuse takes each number under ``gen_ai.usage`` for a kind of usage: it gets ours in an
    object of its own, where the parts add up.
    """
    return Row(old, new, openinference, None, old)


TABLE: Final[dict[str, Row]] = {
    # The call, as samplers see it.
    "operation": _genai("gen_ai.operation.name"),
    "provider": Row("gen_ai.provider.name", "gen_ai.provider.name", "llm.provider", "gen_ai.provider.name",
                    "gen_ai.provider.name"),
    "model": _genai("gen_ai.request.model"),
    "server_address": _all("server.address"),
    "server_port": _all("server.port"),
    "error_type": _all("error.type"),
    "status": _all("http.response.status_code"),
    "method": _all("http.request.method"),
    "url": _all("url.full"),
    # What was asked for.
    "output_type": _genai("gen_ai.output.type"),
    "choices": _genai("gen_ai.request.choice.count"),
    "seed": _genai("gen_ai.request.seed"),
    "stream": _genai("gen_ai.request.stream"),
    "top_k": _genai("gen_ai.request.top_k"),
    "temperature": _genai("gen_ai.request.temperature"),
    "top_p": _genai("gen_ai.request.top_p"),
    "frequency_penalty": _genai("gen_ai.request.frequency_penalty"),
    "presence_penalty": _genai("gen_ai.request.presence_penalty"),
    "max_tokens": _genai("gen_ai.request.max_tokens"),
    "reasoning_level": Row(None, "gen_ai.request.reasoning.level", None, None, None),
    # What came.
    "response_id": _genai("gen_ai.response.id"),
    "response_model": Row("gen_ai.response.model", "gen_ai.response.model", None, "gen_ai.response.model",
                          "gen_ai.response.model"),
    "finish_reasons": _genai("gen_ai.response.finish_reasons"),
    "died": Row(None, "gen_ai.response.finish_reasons", None, None, None),
    "first_chunk": _genai("gen_ai.response.time_to_first_chunk"),
    "request_id": _all("interlay.response.request_id"),
    # A function that is observed.
    "tool_name": Row("gen_ai.tool.name", "gen_ai.tool.name", "tool.name", "gen_ai.tool.name", "gen_ai.tool.name"),
    "agent_name": Row("gen_ai.agent.name", "gen_ai.agent.name", "agent.name", "gen_ai.agent.name", "gen_ai.agent.name"),
    "workflow_name": _genai("gen_ai.workflow.name"),
    # What was used. The totals hold their parts.
    "input_tokens": _tokens("gen_ai.usage.input_tokens", "gen_ai.usage.input_tokens", "llm.token_count.prompt"),
    "output_tokens": _tokens("gen_ai.usage.output_tokens", "gen_ai.usage.output_tokens", "llm.token_count.completion"),
    "cache_read_tokens": _tokens(
        "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read.input_tokens",
        "llm.token_count.prompt_details.cache_read",
    ),
    "cache_write_tokens": _tokens(
        "gen_ai.usage.cache_creation.input_tokens",
        "gen_ai.usage.cache_write.input_tokens",
        "llm.token_count.prompt_details.cache_write",
    ),
    "reasoning_tokens": _tokens(
        "gen_ai.usage.reasoning.output_tokens",
        "gen_ai.usage.reasoning.output_tokens",
        "llm.token_count.completion_details.reasoning",
    ),
    "input_audio_tokens": _tokens(None, "gen_ai.usage.audio.input_tokens", "llm.token_count.prompt_details.audio"),
    "output_audio_tokens": _tokens(
        None, "gen_ai.usage.audio.output_tokens", "llm.token_count.completion_details.audio"
    ),
    "input_image_tokens": _tokens(None, "gen_ai.usage.image.input_tokens", None),
    "output_image_tokens": _tokens(None, "gen_ai.usage.image.output_tokens", None),
    "cache_read_audio_tokens": _tokens(None, "gen_ai.usage.audio.cache_read.input_tokens", None),
    "cache_read_image_tokens": _tokens(None, "gen_ai.usage.image.cache_read.input_tokens", None),
    # What one provider says beyond the rest.
    "asked_tier": Row("openai.request.service_tier", "openai.request.service_tier", None, None,
                      "openai.request.service_tier"),
    "served_tier": Row("openai.response.service_tier", "openai.response.service_tier", None, None,
                       "openai.response.service_tier"),
    "api": Row("openai.api.type", "openai.api.type", None, None, "openai.api.type"),
    # On whose behalf.
    "conversation": Row("gen_ai.conversation.id", "gen_ai.conversation.id", "session.id", "session.id",
                        "gen_ai.conversation.id"),
    "user_hash": _all("user.id"),
    "tenant": _all("interlay.tenant"),
    "key_hash": _all("interlay.tenant.key_hash"),
    "tags": Row("interlay.tags", "interlay.tags", "tag.tags", "langfuse.trace.tags", "interlay.tags"),
    # Ours: the conventions have no name for these yet.
    "call_id": _all("interlay.call.id"),
    "record_id": _all("interlay.record.id"),
    "parent_record": _all("interlay.parent.id"),
    "alias": _all("interlay.request.alias"),
    "outcome": _all("interlay.outcome"),
    "end": _all("interlay.stream.end"),
    "attempts": _all("interlay.attempts"),
    "targets": _all("interlay.targets.tried"),
    "fallback": _all("interlay.fallback"),
    "overhead": _all("interlay.overhead_s"),
    "cost": _all("interlay.cost.usd"),
    "cost_source": _all("interlay.cost.source"),
    "cost_reason": _all("interlay.cost.reason"),
    "price_from": _all("interlay.price.version"),
    "estimated": _all("interlay.usage.estimated"),
    "usage_flags": _all("interlay.usage.flags"),
    "call_cost": _all("interlay.call.cost.usd"),
    "avoided": _all("interlay.cost.saved_usd"),
    "cache_outcome": _all("interlay.cache.outcome"),
    "cache_reason": _all("interlay.cache.reason"),
    "cache_age": _all("interlay.cache.age_s"),
    "cache_entry": _all("interlay.cache.key_hash"),
    "cache_producer": _all("interlay.cache.producer.id"),
    "cache_shadow": _all("interlay.cache.shadow"),
    "cache_seconds": _all("interlay.cache.lookup_s"),
    "verdict": _all("interlay.guard.verdict"),
    "guard": _all("interlay.guard.name"),
    "guard_reason": _all("interlay.guard.reason"),
    "shadow": _all("interlay.shadow"),
    "changes": _all("interlay.changes"),
    "attempt": _all("interlay.attempt.number"),
    "link_reason": _all("interlay.link.reason"),
    "link_record": _all("interlay.link.record.id"),
    "sample_ratio": _all("interlay.sample.ratio"),
    # What some backends want in a form of their own; made by the functions below.
    "kind": Row(None, None, "openinference.span.kind", "langfuse.observation.type", None),
    "any_model": Row(None, None, "llm.model_name", "langfuse.observation.model.name", None),
    "system": Row(None, None, "llm.system", None, None),
    "total_tokens": Row(None, None, "llm.token_count.total", None, None),
    "parameters": Row(None, None, "llm.invocation_parameters", "langfuse.observation.model.parameters", None),
    "usage_details": Row(None, None, None, "langfuse.observation.usage_details", None),
    "costs": Row(None, None, None, "langfuse.observation.cost_details", "mlflow.llm.cost"),
    "cost_total": Row(None, None, "llm.cost.total", None, None),
    "cost_input": Row(None, None, "llm.cost.prompt", None, None),
    "cost_output": Row(None, None, "llm.cost.completion", None, None),
    "begun": Row(None, None, None, "langfuse.observation.completion_start_time", None),
    "level": Row(None, None, None, "langfuse.observation.level", None),
    # Messages, where they are captured.
    "input_messages": Row("gen_ai.input.messages", "gen_ai.input.messages", "llm.input_messages",
                          "gen_ai.input.messages", "gen_ai.input.messages"),
    "output_messages": Row("gen_ai.output.messages", "gen_ai.output.messages", "llm.output_messages",
                           "gen_ai.output.messages", "gen_ai.output.messages"),
    "tool_definitions": Row("gen_ai.tool.definitions", "gen_ai.tool.definitions", "llm.tools",
                            "gen_ai.tool.definitions", "gen_ai.tool.definitions"),
    "tool_arguments": Row("gen_ai.tool.call.arguments", "gen_ai.tool.call.arguments", None, None,
                          "gen_ai.tool.call.arguments"),
    "tool_result": Row("gen_ai.tool.call.result", "gen_ai.tool.call.result", None, None, "gen_ai.tool.call.result"),
    "input_value": Row(None, None, "input.value", "langfuse.observation.input", None),
    "input_type": Row(None, None, "input.mime_type", None, None),
    "output_value": Row(None, None, "output.value", "langfuse.observation.output", None),
    "output_type_of_value": Row(None, None, "output.mime_type", None, None),
}  # fmt: skip

# The conventions' names of providers that the catalogue knows by another id. Others keep theirs.
PROVIDERS: Final[dict[str, str]] = {
    "azure": "azure.ai.openai",
    "azure_ai": "azure.ai.inference",
    "bedrock": "aws.bedrock",
    "bedrock_mantle": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "codestral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex_ai": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}
UNKNOWN_PROVIDER: Final = "_OTHER"
_OPENAI: Final = frozenset(("openai", "azure", "azure_ai"))
_OPENAI_ONLY: Final = ("asked_tier", "served_tier", "api")

Names = dict[str, str]
"""Fact to attribute name: one column of the table."""
Compose = Callable[[Facts, str, Attributes, Names], None]
"""Adds what is no plain renaming. Told the facts, the span's kind and the column's names."""
Render = Callable[[Facts, Attributes, int, Names], None]
"""Adds messages, bounded in size."""


class Vocabulary:
    """One column of the table, ready for use."""

    def __init__(
        self,
        name: VocabularyName,
        column: int,
        render: Render,
        compose: Compose | None = None,
        *,
        shows_calls: bool = False,
    ) -> None:
        self.name: Final = name
        self.names: Final[Names] = {fact: own for fact, row in TABLE.items() if (own := row[column]) is not None}
        self.shows_calls: Final = shows_calls
        """Whether messages are also wanted on the span of the whole call: this backend's lists show its root."""
        self._compose = compose
        self._render = render

    def attributes(self, facts: Facts, kind: str, *, content_limit: int = 0) -> Attributes:
        """What a span of a kind (``chat``, ``call``, ``attempt``, ``guard``, ``lookup``, ``http``, ``tool``, ``agent``,
        ``workflow``), or a ``link``, says.

        Facts that are None are left out.

        Messages, where the facts hold them, are written if ``content_limit`` (bytes an attribute) is above 0.
        """
        names = self.names
        found: Attributes = {names[fact]: value for fact, value in facts.items() if value is not None and fact in names}
        if kind == "link":
            return found
        if kind == "chat":
            provider: str | None = facts["provider"]
            found[names["provider"]] = PROVIDERS.get(provider, provider) if provider else UNKNOWN_PROVIDER
            if provider not in _OPENAI:
                for fact in _OPENAI_ONLY:
                    if fact in facts and fact in names:
                        del found[names[fact]]
        if self._compose is not None:
            self._compose(facts, kind, found, names)
        if content_limit and "contents" in facts:
            self._render(facts, found, content_limit, names)
        elif content_limit and "given" in facts:
            _function_contents(facts, kind, found, content_limit, names)
        return found


def _integer_top_k(facts: Facts, _kind: str, found: Attributes, names: Names) -> None:
    if "top_k" in facts:
        found[names["top_k"]] = int(facts["top_k"])  # a double until 1.41


def _mlflow(facts: Facts, _kind: str, found: Attributes, names: Names) -> None:
    if "cost" in facts:
        prompt, completion, total = split(facts)
        costs = {"input_cost": prompt, "output_cost": completion, "total_cost": total}
        found[names["costs"]] = to_json(costs)


_OPENINFERENCE_KINDS: Final = {"chat": "LLM", "call": "CHAIN", "attempt": "CHAIN", "http": "CHAIN",
                               "guard": "GUARDRAIL", "lookup": "CHAIN",
                               "tool": "TOOL", "agent": "AGENT", "workflow": "CHAIN"}  # fmt: skip


def _openinference(facts: Facts, kind: str, found: Attributes, names: Names) -> None:
    embeds = facts.get("operation") == "embeddings"
    found[names["kind"]] = "EMBEDDING" if embeds and kind == "chat" else _OPENINFERENCE_KINDS[kind]
    if kind != "chat":
        return
    if model := facts.get("response_model") or facts.get("model"):
        found[names["any_model"]] = model
    found[names["system"]] = found[names["provider"]]
    if "input_tokens" in facts and "output_tokens" in facts:
        found[names["total_tokens"]] = facts["input_tokens"] + facts["output_tokens"]
    if parameters := _parameters(facts):
        found[names["parameters"]] = to_json(parameters)
    if "cost" in facts:
        prompt, completion, total = split(facts)
        found[names["cost_total"]] = total
        found[names["cost_input"]] = prompt
        found[names["cost_output"]] = completion


_LANGFUSE_KINDS: Final = {"chat": "generation", "call": "chain", "attempt": "span", "http": "span",
                          "guard": "guardrail", "lookup": "span",
                          "tool": "tool", "agent": "agent", "workflow": "chain"}  # fmt: skip


def _langfuse(facts: Facts, kind: str, found: Attributes, names: Names) -> None:
    embeds = facts.get("operation") == "embeddings"
    found[names["kind"]] = "embedding" if embeds and kind == "chat" else _LANGFUSE_KINDS[kind]
    if "error_type" in facts:
        found[names["level"]] = "ERROR"
    if kind != "chat":
        return
    if model := facts.get("response_model") or facts.get("model"):
        found[names["any_model"]] = model
    if usage := _usage_details(facts):
        found[names["usage_details"]] = to_json(usage)
    if parameters := _parameters(facts):
        found[names["parameters"]] = to_json(parameters)
    if "cost" in facts:
        prompt, completion, total = split(facts)
        found[names["costs"]] = to_json({"input": prompt, "output": completion, "total": total})
    if "first_chunk_at" in facts:
        begun = dt.datetime.fromtimestamp(facts["first_chunk_at"], dt.UTC)
        found[names["begun"]] = begun.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _usage_details(facts: Facts) -> dict[str, int]:
    """Kinds of usage that do not overlap: Langfuse adds them up."""
    usage: dict[str, int] = {}
    read, written = facts.get("cache_read_tokens", 0), facts.get("cache_write_tokens", 0)
    if "input_tokens" in facts:
        usage["input"] = max(0, facts["input_tokens"] - read - written)
        if read:
            usage["input_cached_tokens"] = read
        if written:
            usage["input_cache_creation"] = written
    if "output_tokens" in facts:
        thought = facts.get("reasoning_tokens", 0)
        usage["output"] = max(0, facts["output_tokens"] - thought)
        if thought:
            usage["output_reasoning_tokens"] = thought
    return usage


_ASKED: Final = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "max_tokens", "seed",
                 "choices", "reasoning_level", "stream")  # fmt: skip


def _parameters(facts: Facts) -> dict[str, object]:
    return {name: facts[name] for name in _ASKED if name in facts}


_OUTPUT_UNITS: Final = frozenset(("output", "reasoning", "output_audio", "output_image", "citation"))
_INPUT_UNITS: Final = ("input", "cache_")


def split(facts: Facts) -> tuple[float, float, float]:
    """US dollars for the prompt, for the completion, and in all; tools and fees are in the last alone.

    A cost of which only the sum is known counts as the completion's: the parts must come to the whole.
    """
    total: float = facts["cost"]
    lines: Iterable[CostLine] = facts["cost_lines"]
    prompt = float(sum(line.amount for line in lines if line.unit.startswith(_INPUT_UNITS)))
    completion = float(sum(line.amount for line in lines if line.unit in _OUTPUT_UNITS))
    if not prompt and not completion:
        completion = total
    return prompt, completion, total


def _genai_messages(facts: Facts, found: Attributes, limit: int, names: Names) -> None:
    """On spans a JSON text: one backend flattens structured values and then finds no messages."""
    told = said(*facts["contents"])
    for fact, messages in (("input_messages", told.input), ("output_messages", told.output)):
        if messages:
            found[names[fact]] = to_json(bounded(messages, limit))
    if told.tools:
        found[names["tool_definitions"]] = to_json(bounded(told.tools, limit))


def _function_contents(facts: Facts, kind: str, found: Attributes, limit: int, names: Names) -> None:
    """What a function was given and gave: a tool's under names of its own where there are such, else as messages."""
    given, gave = to_json(facts["given"]), "\n".join(facts["gave"])
    if "input_value" in names:
        found[names["input_value"]], found[names["output_value"]] = _shortened(given, limit), _shortened(gave, limit)
    elif kind == "tool":
        found[names["tool_arguments"]], found[names["tool_result"]] = _shortened(given, limit), _shortened(gave, limit)
    else:
        for fact, role, text in (("input_messages", "user", given), ("output_messages", "assistant", gave)):
            message = {"role": role, "parts": [{"type": "text", "content": text}]}
            found[names[fact]] = to_json(bounded([message], limit))


def _shortened(text: str, limit: int) -> str:
    data = text.encode("utf-8", "replace")
    return text if len(data) <= limit else data[: max(0, limit - len(_CUT.encode()))].decode("utf-8", "ignore") + _CUT


_CUT: Final = "… [cut]"


def _langfuse_messages(facts: Facts, found: Attributes, limit: int, names: Names) -> None:
    told = said(*facts["contents"])
    for fact, messages in (("input_value", told.input), ("output_value", told.output)):
        if messages:
            found[names[fact]] = to_json(bounded(messages, limit))


def _openinference_messages(facts: Facts, found: Attributes, limit: int, names: Names) -> None:
    told = said(*facts["contents"])
    if told.input:
        found[names["input_value"]] = to_json({"messages": bounded(told.input, limit)})
        found[names["input_type"]] = "application/json"
    if told.output:
        found[names["output_value"]] = text_of(bounded(told.output, limit))
        found[names["output_type_of_value"]] = "text/plain"
    if "operation" not in facts:
        return
    for fact, messages in (("input_messages", told.input), ("output_messages", told.output)):
        for number, message in enumerate(bounded(messages, limit)[:_FLAT]):
            _flatten(message, f"{names[fact]}.{number}.message", found)
    for number, tool in enumerate(bounded(told.tools, limit)[:_FLAT]):
        found[f"{names['tool_definitions']}.{number}.tool.json_schema"] = to_json(tool)


_FLAT: Final = 64
"""Messages of each kind that are written attribute by attribute; the whole is in ``input.value``."""


def _flatten(message: dict[str, Any], prefix: str, found: Attributes) -> None:
    found[f"{prefix}.role"] = message["role"]
    texts = []
    calls = 0
    for part in message["parts"]:
        kind = part["type"]
        if kind == "text":
            texts.append(part["content"])
        elif kind == "tool_call":
            call = f"{prefix}.tool_calls.{calls}.tool_call"
            calls += 1
            found[f"{call}.function.name"] = part["name"]
            found[f"{call}.function.arguments"] = to_json(part["arguments"])
            if part["id"] is not None:
                found[f"{call}.id"] = part["id"]
        elif kind == "tool_call_response":
            found[f"{prefix}.tool_call_id"] = part["id"]
            answer = part["response"]
            texts.append(answer if isinstance(answer, str) else to_json(answer))
    if texts:
        found[f"{prefix}.content"] = "\n".join(texts)


VOCABULARIES: Final[dict[str, Vocabulary]] = {
    "genai-1.41": Vocabulary("genai-1.41", 0, _genai_messages),
    "genai-next": Vocabulary("genai-next", 1, _genai_messages, _integer_top_k),
    "openinference": Vocabulary("openinference", 2, _openinference_messages, _openinference, shows_calls=True),
    "langfuse": Vocabulary("langfuse", 3, _langfuse_messages, _langfuse, shows_calls=True),
    "mlflow": Vocabulary("mlflow", 4, _genai_messages, _mlflow, shows_calls=True),
}
DEFAULT: Final[VocabularyName] = "genai-1.41"
