"""Which requests a cache may answer, API by API: all that say all there is to them, and no others."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.chain.asks import ANTHROPIC, CHAT, COHERE, EMBEDDINGS, GEMINI, OLLAMA, RESPONSES, asks

from interlay.chain.key import Question, Unfit
from interlay.dialects import DIALECTS

PIXEL = "data:image/png;base64,iVBORw0KGgo="
ELSEWHERE = "https://example.com/cat.png"
STATE, TOOLS, FILES = "server_state", "server_tools", "files"


def chat(*parts: Any, **members: Any) -> tuple[str, dict[str, Any]]:
    content = list(parts) or "Hello"
    return CHAT, {"model": "gpt-4o", "messages": [{"role": "user", "content": content}], **members}


def responses(*items: Any, **members: Any) -> tuple[str, dict[str, Any]]:
    return RESPONSES, {"model": "gpt-5", "input": list(items) or "Hello", **members}


def said(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def claude(*blocks: Any, **members: Any) -> tuple[str, dict[str, Any]]:
    content = list(blocks) or "Hello"
    return ANTHROPIC, {
        "model": "claude",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": content}],
        **members,
    }


def gemini(*parts: Any, **members: Any) -> tuple[str, dict[str, Any]]:
    return GEMINI, {"contents": [{"role": "user", "parts": list(parts) or [{"text": "Hello"}]}], **members}


def cohere(*parts: Any, **members: Any) -> tuple[str, dict[str, Any]]:
    return COHERE, {"model": "command-a", "messages": [said(*parts)], **members}


def ollama(**members: Any) -> tuple[str, dict[str, Any]]:
    return OLLAMA, {
        "model": "llama3",
        "messages": [{"role": "user", "content": "Hello", **members.pop("said", {})}],
        **members,
    }


def embeddings(given: Any) -> tuple[str, dict[str, Any]]:
    return EMBEDDINGS, {"model": "e", "input": given}


def image(url: Any) -> dict[str, Any]:
    return {"type": "image_url", "image_url": url}


FUNCTION = {
    "type": "function",
    "function": {"name": "f", "parameters": {"properties": {"file_id": {"type": "string"}}}},
}
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"file_id":"file-1"}'}}

FIT = [
    chat(),
    chat({"type": "text", "text": "what is at https://example.com/ ?"}, image({"url": PIXEL}), image(PIXEL)),
    chat({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}),
    chat({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}),
    chat({"type": "nobody_knows", "nobody_knows": {"a": ["b", 1, None]}}),
    chat(tools=[FUNCTION, {"type": "custom", "custom": {"name": "c"}}], tool_choice="auto"),
    chat(tools=[{"function": {"name": "f"}}], functions=[{"name": "g"}]),
    chat(tools=[], plugins=[], web_search_options=None, background=False, conversation=None, enable_search=False),
    chat(
        messages=[
            {"role": "assistant", "tool_calls": [CALL]},
            {"role": "tool", "content": ELSEWHERE, "tool_call_id": "1"},
        ]
    ),
    chat(model="ft:gpt-4o:acme:search:1", modalities=["text"], store=True, service_tier="flex"),
    chat(model="perplexity/r1-1776"),
    chat(extra_body={"google": {"thinking_config": {"thinking_budget": 1}}}),
    responses(),
    responses(said({"type": "input_text", "text": "Hello"}, {"type": "input_image", "image_url": PIXEL})),
    responses(said({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="})),
    responses(
        {"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "Hi"}]}
    ),
    responses(
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAA"},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": '{"file_id":"file-1"}'},
        {"type": "function_call_output", "call_id": "1", "output": ELSEWHERE},
    ),
    responses(tools=[{"type": "function", "name": "f"}, {"type": "custom", "name": "c"}], store=True, background=False),
    responses(prompt_cache_options={"mode": "explicit", "ttl": "30m"}, previous_response_id=None),
    claude(),
    claude({"type": "text", "text": ELSEWHERE}, {"type": "image", "source": {"type": "base64", "data": "iVBO"}}),
    claude({"type": "document", "source": {"type": "text", "data": "x"}, "title": ELSEWHERE}),
    claude({"type": "document", "source": {"type": "content", "content": [{"type": "text", "text": "x"}]}}),
    claude({"type": "document", "source": {"type": "content", "content": "x"}}),
    claude({"type": "tool_use", "id": "1", "name": "f", "input": {"file_id": "file-1", "url": ELSEWHERE}}),
    claude({"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "x"}]}),
    claude({"type": "search_result", "source": ELSEWHERE, "title": "t", "content": [{"type": "text", "text": "x"}]}),
    claude({"type": "thinking", "thinking": "…", "signature": "s"}, {"type": "redacted_thinking", "data": "d"}),
    claude(
        tools=[
            {"name": "f", "input_schema": {}},
            {"type": "custom", "name": "c"},
            {"type": "bash_20250124", "name": "bash"},
        ]
    ),
    claude(
        container=None, mcp_servers=[], system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}]
    ),
    gemini(),
    gemini({"text": ELSEWHERE}, {"inlineData": {"mimeType": "image/png", "data": "iVBO"}}, {"inline_data": {}}),
    gemini({"functionCall": {"name": "f", "args": {"fileUri": ELSEWHERE}}}),
    gemini({"functionResponse": {"name": "f", "response": {"fileUri": ELSEWHERE}}, "thoughtSignature": "s"}),
    gemini(tools=[{"functionDeclarations": [{"name": "f"}]}, {"function_declarations": []}, {"googleSearch": None}]),
    gemini(systemInstruction={"parts": [{"text": "s"}]}, safetySettings=[], cachedContent="", labels={"a": "b"}),
    cohere(
        {"type": "text", "text": "Hello"}, image({"url": PIXEL}), {"type": "document", "document": {"url": ELSEWHERE}}
    ),
    cohere(tools=[FUNCTION], documents=[{"data": {"url": ELSEWHERE}}]),
    ollama(said={"images": ["iVBORw0KGgo="]}, tools=[FUNCTION], keep_alive="5m", format={"type": "object"}),
    embeddings("Hello"),
    embeddings(["title:Hello", "see https://example.com/ there", PIXEL]),
    embeddings([[1, 2], [3]]),
    embeddings([1, 2]),
]

UNFIT = [
    *((chat(**{name: "x"}), STATE) for name in ("conversation", "previous_response_id", "thread_id", "assistant_id")),
    (chat(background=True), STATE),
    (chat(deferred=True), STATE),
    (chat(modalities=["text", "audio"], audio={"voice": "alloy", "format": "wav"}), STATE),
    (chat(messages=[{"role": "assistant", "audio": {"id": "audio_1"}}]), STATE),
    (chat(model="@preset/mine"), STATE),
    (chat(model="openai/gpt-4o@preset/mine"), STATE),
    (chat(extra_body={"google": {"cached_content": "cachedContents/1"}}), STATE),
    (chat(web_search_options={}), TOOLS),
    (chat(search_parameters={"mode": "auto"}), TOOLS),
    (chat(plugins=[{"id": "web"}]), TOOLS),
    (chat(enable_search=True), TOOLS),
    (chat(data_sources=[{"type": "azure_search"}]), TOOLS),
    *((chat(tools=[{"type": kind}]), TOOLS) for kind in ("web_search", "browser_search", "code_interpreter", "mcp", 1)),
    (chat(tools=[FUNCTION, {"type": "builtin_function", "function": {"name": "$web_search"}}]), TOOLS),
    (chat(tools={"type": "web_search"}), TOOLS),
    (chat(tools=["web_search"]), TOOLS),
    *(
        (chat(model=model), TOOLS)
        for model in (
            "gpt-4o-search-preview",
            "gpt-4o-mini-search-preview-2025-03-11",
            "gpt-5-search-api",
            "o3-deep-research",
            "openai/gpt-4o:online",
            "openai/gpt-4o:online:nitro",
            "sonar",
            "sonar-pro",
            "perplexity/sonar-reasoning",
            "llama-3.1-sonar-small-128k-online",
            "groq/compound",
            "compound-beta",
            "groq/compound-mini",
        )
    ),
    (chat(image({"url": ELSEWHERE})), FILES),
    (chat(image(ELSEWHERE)), FILES),
    (chat(image({"url": "gs://bucket/cat.png"})), FILES),
    (chat({"type": "image_url"}), FILES),
    (chat({"type": "file", "file": {"file_id": "file-1"}}), FILES),
    (chat({"type": "file", "file": {"file_data": "https://example.com/a.pdf"}}), FILES),
    (chat({"type": "document_url", "document_url": "https://example.com/a.pdf"}), FILES),
    (chat({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}), FILES),
    (chat({"type": "input_audio", "input_audio": {"data": "https://example.com/a.wav"}}), FILES),
    (chat({"type": "video", "video": ["https://example.com/1.png"]}), FILES),
    (chat(file_ids=["file-1"]), FILES),
    *((responses(**{name: "x"}), STATE) for name in ("conversation", "previous_response_id")),
    (responses(background=True), STATE),
    (responses(prompt={"id": "pmpt_1"}), STATE),
    (responses(conversation={"id": "conv_1"}), STATE),
    (responses(prompt_cache_options={"prewarm": True}), STATE),
    (responses(prompt_cache_options={"comparison_response_id": "resp_1"}), STATE),
    (responses({"type": "item_reference", "id": "msg_1"}), STATE),
    (responses({"type": "reasoning", "id": "rs_1", "summary": []}), STATE),
    (responses({"type": "web_search_call", "id": "ws_1", "status": "completed"}), STATE),
    (responses({"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1"}), STATE),
    (responses({"type": 1}), STATE),
    *(
        (responses(tools=[{"type": kind}]), TOOLS)
        for kind in (
            "web_search",
            "web_search_preview",
            "file_search",
            "code_interpreter",
            "computer",
            "computer_use_preview",
            "mcp",
            "image_generation",
            "local_shell",
            "shell",
            "apply_patch",
            "tool_search",
            "namespace",
            "next_year",
        )
    ),
    (responses(model="o4-mini-deep-research"), TOOLS),
    (responses(search_parameters={"mode": "on"}), TOOLS),
    (responses(said({"type": "input_image", "image_url": ELSEWHERE})), FILES),
    (responses(said({"type": "input_image", "file_id": "file-1", "image_url": PIXEL})), FILES),
    (responses(said({"type": "input_file", "file_id": "file-1"})), FILES),
    (responses(said({"type": "input_file", "file_url": "https://example.com/a.pdf"})), FILES),
    (responses({"type": "function_call_output", "output": [{"type": "input_image", "image_url": ELSEWHERE}]}), FILES),
    (claude(container="container_1"), STATE),
    (claude(container={"skills": [{"type": "anthropic", "skill_id": "pptx"}]}), STATE),
    (claude(thread={"type": "create"}), STATE),
    (claude(diagnostics={"previous_message_id": "msg_1"}), STATE),
    (claude(fallback_credit_token="t"), STATE),
    (claude(mcp_servers=[{"type": "url", "url": ELSEWHERE}]), TOOLS),
    *(
        (claude(tools=[{"type": kind, "name": "n"}]), TOOLS)
        for kind in (
            "web_search_20250305",
            "web_fetch_20250910",
            "code_execution_20250825",
            "tool_search_tool_bm25_20251119",
            "computer_20250124",
            "computer_toolset_20260801",
            "browser_toolset_20260801",
            "advisor_20260301",
            "mcp_toolset",
            "next_year",
            1,
        )
    ),
    (claude({"type": "image", "source": {"type": "url", "url": ELSEWHERE}}), FILES),
    (claude({"type": "image", "source": {"type": "file", "file_id": "file_1"}}), FILES),
    (claude({"type": "document", "source": {"type": "file", "file_id": "file_1"}}), FILES),
    (claude({"type": "document"}), FILES),
    (claude({"type": "container_upload", "file_id": "file_1"}), FILES),
    (
        claude({"type": "tool_result", "content": [{"type": "image", "source": {"type": "url", "url": ELSEWHERE}}]}),
        FILES,
    ),
    (
        claude(
            {
                "type": "document",
                "source": {"type": "content", "content": [{"type": "image", "source": {"type": "file"}}]},
            }
        ),
        FILES,
    ),
    (claude({"type": "server_tool_use", "id": "1", "name": "web_search", "input": {}}), STATE),
    (claude({"type": "code_execution_tool_result", "content": {}}), STATE),
    (claude({"type": None}), STATE),
    (gemini(cachedContent="cachedContents/1"), STATE),
    (gemini(cached_content="cachedContents/1"), STATE),
    (gemini(continuationToken="t"), STATE),
    (gemini(modelArmorConfig={"promptTemplateName": "t"}), STATE),
    *(
        (gemini(tools=[{"functionDeclarations": []}, {name: {}}]), TOOLS)
        for name in (
            "googleSearch",
            "google_search",
            "googleSearchRetrieval",
            "urlContext",
            "url_context",
            "codeExecution",
            "code_execution",
            "retrieval",
            "enterpriseWebSearch",
            "googleMaps",
            "fileSearch",
            "computerUse",
            "mcpServers",
            "nextYear",
        )
    ),
    (gemini(tools={"googleSearch": {}}), TOOLS),
    (gemini({"fileData": {"fileUri": "gs://bucket/a.pdf"}}), FILES),
    (gemini({"file_data": {"file_uri": "https://www.youtube.com/watch?v=1"}}), FILES),
    (gemini({"functionResponse": {"name": "f", "parts": [{"fileData": {"fileUri": "files/1"}}]}}), FILES),
    (gemini({"nextYear": {"uri": ELSEWHERE}}), FILES),
    (gemini(systemInstruction={"parts": [{"fileData": {"fileUri": "files/1"}}]}), FILES),
    (gemini(contents={"parts": {"fileData": {"fileUri": "files/1"}}}), FILES),
    (cohere(image({"url": ELSEWHERE})), FILES),
    (cohere(tools=[{"type": "web_search"}]), TOOLS),
    (cohere(connectors=[{"id": "web-search"}]), TOOLS),
    (cohere(conversation_id="1"), STATE),
    (ollama(messages=[]), STATE),
    (ollama(messages=None, keep_alive=0), STATE),
    (ollama(tools=[{"type": "web_search"}]), TOOLS),
    (ollama(said={"images": [ELSEWHERE]}), FILES),
    (embeddings("https://example.com/cat.png"), FILES),
    (embeddings(["Hello", "HTTPS://example.com/cat.png"]), FILES),
    (embeddings([{"image": ELSEWHERE}]), FILES),
]


def numbered(requests: list[Any]) -> list[str]:
    return [f"{number}-{str(request)[:90]}" for number, request in enumerate(requests)]


@pytest.mark.parametrize(("url", "body"), FIT, ids=numbered([body for _, body in FIT]))
def test_what_says_all_there_is_to_it_may_be_answered(url: str, body: dict[str, Any]) -> None:
    assert isinstance(asks(body, url), Question)


@pytest.mark.parametrize(("request_", "reason"), UNFIT, ids=numbered([(why, body) for (_, body), why in UNFIT]))
def test_what_depends_on_more_than_itself_may_not(request_: tuple[str, dict[str, Any]], reason: str) -> None:
    url, body = request_
    assert asks(body, url) == Unfit(reason)


words = st.sampled_from(
    [
        "type",
        "text",
        "url",
        "image_url",
        "tools",
        "messages",
        "input",
        "contents",
        "parts",
        "content",
        "source",
        "model",
        "function",
        "file_id",
        "https://a/b",
        "extra_body",
        "google",
        "modalities",
        "tool_result",
        "document",
        "functionResponse",
        "prompt_cache_options",
        "systemInstruction",
        "images",
        "audio",
        "function_call_output",
        "output",
    ]
)
leaves = st.none() | st.booleans() | st.integers() | words
bodies = st.dictionaries(
    words,
    st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3), max_leaves=15
    ),
    max_size=5,
)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
@given(body=bodies)
@settings(max_examples=150, deadline=None)
def test_no_shape_of_a_body_raises(dialect: Any, body: dict[str, Any]) -> None:
    assert dialect.unfit(body, "/") in (None, STATE, TOOLS, FILES)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_headers_are_named_in_lower_case_once(dialect: Any) -> None:
    names = dialect.telling_headers
    assert all(name == name.lower() for name in names)
    assert len(set(names)) == len(names)


def test_what_is_deep_is_looked_through_and_what_is_too_wide_is_not() -> None:
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    for it, expected in ((deep, True), ([{}] * 5000, True), ([{"a": "b"}] * 20_000, False)):
        url, body = chat({"type": "nobody_knows", "it": it})
        assert isinstance(asks(body, url), Question) is expected
