"""Who answers at a host, and whether its streams have to be asked for usage."""

from __future__ import annotations

import pytest

from interlay.providers import asks_usage, provider, provider_at, provider_of, stream_usage

RECORDED = {
    "127.0.0.1:11434": "ollama",
    "aiplatform.googleapis.com": "vertex_ai",
    "api.anthropic.com": "anthropic",
    "api.cerebras.ai": "cerebras",
    "api.cohere.com": "cohere",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral",
    "api.openai.com": "openai",
    "api.perplexity.ai": "perplexity",
    "api.replicate.com": "replicate",
    "api.together.ai": "together_ai",
    "api-inference.together.ai": "together_ai",  # where its SDK sends chats
    "api.voyageai.com": "voyage",
    "api.x.ai": "xai",
    "api.z.ai": "zai",
    "bedrock-runtime.us-east-1.amazonaws.com": "bedrock",
    "example-resource.cognitiveservices.azure.com": "azure",
    "example-resource.services.ai.azure.com": "azure_ai",
    "generativelanguage.googleapis.com": "gemini",
    "ollama.com": "ollama",
    "openrouter.ai": "openrouter",
    "router.huggingface.co": "huggingface",
    "test-location-aiplatform.googleapis.com": "vertex_ai",
    "us-central1-aiplatform.googleapis.com": "vertex_ai",
}
"""Every host that the recorded exchanges were made with."""


@pytest.mark.parametrize(("host", "id"), RECORDED.items())
def test_the_hosts_of_the_recordings_are_known(host: str, id: str) -> None:
    assert provider_of(host) == id


@pytest.mark.parametrize("host", ["API.OpenAI.com", "api.openai.com:443", "api.openai.com."])
def test_case_port_and_final_dot_do_not_matter(host: str) -> None:
    assert provider_of(host) == "openai"


@pytest.mark.parametrize(
    "host",
    [
        "",
        "localhost",
        "127.0.0.1:8000",
        "api.openai.com.example",
        "xapi.openai.com",
        ".openai.azure.com",
        "tenant.openai.azure.com.example",
        "bedrock-runtime.amazonaws.com",
    ],
)
def test_other_hosts_are_unknown(host: str) -> None:
    assert provider_of(host) is None
    assert not asks_usage(host)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("api.openai.com", "ask"),
        ("tenant.openai.azure.com", "ask"),
        ("openrouter.ai", "always"),
        ("api.groq.com", "always"),
        ("api.mistral.ai", "always"),
        ("api.deepseek.com", "always"),
        ("api.together.xyz", "always"),
        ("api.perplexity.ai", "always"),
        ("api.anthropic.com", "always"),
        ("api.cerebras.ai", "unknown"),
        ("llm.example", "unknown"),
    ],
)
def test_streams_are_asked_for_usage_only_where_the_host_takes_the_question(host: str, expected: str) -> None:
    assert stream_usage(host) == expected
    assert asks_usage(host) is (expected == "ask")


@pytest.mark.parametrize(
    ("version", "asked"),
    [
        ("2024-06-01", False),
        ("2024-08-01-preview", False),
        ("2024-10-21", True),
        ("preview", True),
        (None, True),
    ],
)
def test_old_versions_of_an_api_are_not_asked(version: str | None, asked: bool) -> None:  # noqa: FBT001
    assert asks_usage("tenant.openai.azure.com", version) is asked


def test_a_row_says_where_credentials_are() -> None:
    row = provider("anthropic")
    assert row is not None
    assert row.credentials == ("x-api-key", "authorization")
    assert provider_at("api.anthropic.com") is row
    assert provider("nobody") is None
