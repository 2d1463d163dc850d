"""OpenAI chat completions, and the hosts that speak it with small differences."""

from __future__ import annotations

from interlay.dialects._modular import ModularCodec
from interlay.dialects._said import ChatSayings, messages_of_choices
from interlay.dialects._sse import SSEFramer
from interlay.dialects.openai_chat import (
    asking,
    assembly,
    failures,
    figures,
    forms,
    places,
    request,
    response,
    stream,
)
from interlay.dialects.openai_chat.outline import ask_usage, outline
from interlay.dialects.openai_chat.tracker import Tracker, hide_usage
from interlay.model.protocols import Outline, WireEvent


class OpenAIChat(ModularCodec):
    """``POST …/chat/completions``, at OpenAI, Azure and all who took over the form."""

    name = "openai-chat"
    operation = "chat"
    streams_json = False
    turns = "messages"
    harmless = places.HARMLESS | places.WORDS
    ignored = asking.IGNORED
    telling_headers = asking.TELLING_HEADERS

    _asking = asking
    _figures = figures
    _failures = failures
    _request = request
    _response = response
    _assembly = assembly
    _stream = stream
    _places = places
    _forms = forms
    _said = ChatSayings(messages_of_choices, assembly.whole)

    def matches(self, method: str, path: str) -> bool:
        return method == "POST" and path.endswith("/chat/completions")

    def outline(self, body: bytes) -> Outline:
        return outline(body)

    def framer(self) -> SSEFramer:
        return SSEFramer()

    def tracker(self) -> Tracker:
        return Tracker()

    def ask_usage(self, body: bytes) -> bytes | None:
        return ask_usage(body)

    def hide_usage(self, event: WireEvent) -> bytes:
        return hide_usage(event)
