"""LiteLLM's side of ``benchmarks.cache``: ``litellm.completion(caching=True)`` on a hit.

Run by that program, with the interpreter of an environment that holds the peer. Prints one line of JSON, in seconds.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import statistics
import threading
import time
from typing import Any
from urllib.parse import urlsplit

import litellm
from litellm.caching.caching import Cache

MESSAGES: list[Any] = [
    {"role": "system", "content": "You are a terse assistant."},
    {"role": "user", "content": "Say what a good gateway does, in three sentences. " * 4},
]
ANSWER = {
    "id": "chatcmpl-bench",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "A good gateway forwards, counts and refuses. " * 38},
            "finish_reason": "stop",
        }
    ],
    "usage": {"prompt_tokens": 58, "completion_tokens": 64, "total_tokens": 122},
}


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers on a socket."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        body = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=["memory", "disk", "redis"])
    parser.add_argument("place")
    parser.add_argument("--hits", type=int, default=400)
    options = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    litellm.suppress_debug_info = True
    if options.kind == "memory":
        litellm.cache = Cache(type="local")
    elif options.kind == "disk":
        litellm.cache = Cache(type="disk", disk_cache_dir=options.place)
    else:
        at = urlsplit(options.place)
        litellm.cache = Cache(type="redis", host=at.hostname, port=str(at.port))

    def call() -> Any:
        return litellm.completion(
            model="openai/gpt-4o-mini",
            messages=MESSAGES,
            temperature=0.2,
            api_base=f"http://127.0.0.1:{server.server_port}/v1",
            api_key="sk-bench",
            caching=True,
        )

    call()
    time.sleep(0.3)  # it writes in the background
    assert call()._hidden_params.get("cache_hit") is True  # noqa: SLF001
    for _ in range(50):
        call()
    taken = []
    for _ in range(options.hits):
        began = time.perf_counter()
        call()
        taken.append(time.perf_counter() - began)
    print(json.dumps({"hit": statistics.median(taken)}), flush=True)
    os._exit(0)  # its threads would not end


if __name__ == "__main__":
    main()
