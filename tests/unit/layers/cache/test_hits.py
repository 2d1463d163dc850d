"""What an equal request is given, in which form, and what its record says."""

from __future__ import annotations

import json
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.unit.layers.cache.bench import Bench, answer, events, question

import interlay
from interlay.chain.io import IO, SyncIO, drive
from interlay.entry.process import recorder
from interlay.model.errors import ConfigError
from interlay.stores.disk import DiskStore
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.testing import Turn


class TestARepeat:
    def test_is_answered_with_the_same_bytes_and_nothing_is_sent(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        first, second = bench.ask(), bench.ask()
        assert first.body == second.body == answer()
        assert second.headers["content-type"] == first.headers["content-type"]
        assert bench.sent == 1

    def test_says_in_words_of_http_where_its_answer_comes_from(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(ttl="10m"))
        first = bench.ask()
        bench.clock.pass_(100)
        second = bench.ask()
        assert first.headers["cache-status"] == "interlay; fwd=uri-miss"
        assert "age" not in first.headers
        assert second.headers["cache-status"] in ("interlay; hit; ttl=500", "interlay; hit; ttl=499")
        assert second.headers["age"] in ("100", "101")

    def test_is_given_no_header_of_a_connection_a_quota_or_a_session(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        private = {
            "set-cookie": "__cf_bm=1",
            "x-ratelimit-remaining-tokens": "3",
            "date": "Mon",
            "openai-organization": "o",
        }
        bench.serves(Turn(body=answer(), headers={**private, "x-request-id": "req_made_it"}))
        bench.ask()
        second = bench.ask()
        assert not private.keys() & second.headers.keys()
        assert second.headers["x-request-id"] == "req_made_it"

    def test_costs_nothing_and_says_what_it_saved(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        bench.ask()
        made = bench.last
        bench.ask()
        hit = bench.last
        assert hit.attempts == ()
        assert hit.usage is None
        assert made.cost is not None
        assert hit.cost is not None
        assert (hit.cost.amount, hit.cost.source) == (Decimal(0), "cache_hit")
        assert hit.cost.avoided == made.cost.amount == Decimal("0.0000045")
        assert hit.end == "complete"
        assert hit.served_model == "gpt-4o-mini"
        assert hit.response is not None
        assert hit.response.finish_reasons == ("stop",)

    def test_is_linked_to_the_call_that_made_its_entry(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        bench.ask()
        made = bench.last
        bench.ask()
        (link,) = bench.last.links
        assert (link.kind, link.id) == ("cache_producer", made.id)
        assert bench.last.key == made.key
        assert bench.last.cache is not None
        assert bench.last.cache.entry == str(made.key)[:16]
        assert bench.last.cache.age is not None

    def test_is_found_before_the_entry_is_written(self, bench: Bench) -> None:
        store = _Gated()
        bench.wrap(interlay.Cache(store))
        bench.ask()
        bench.ask()
        assert bench.sent == 1
        assert len(store) == 0
        store.gate.set()
        bench.settle()
        assert len(store) == 1

    @pytest.mark.parametrize("spec", ["memory", "memory:64MB", "disk"])
    def test_is_found_in_any_store(self, bench: Bench, spec: str, tmp_path: Path) -> None:
        bench.wrap(interlay.Cache(disk(tmp_path) if spec == "disk" else spec))
        bench.ask()
        bench.settle()
        assert bench.ask().body == answer()
        assert bench.sent == 1

    def test_outlives_the_program_on_disk(self, bench: Bench, tmp_path: Path) -> None:
        first = interlay.Cache(disk(tmp_path))
        bench.wrap(first)
        bench.ask()
        bench.settle()
        first.close()
        bench.wrap(interlay.Cache(disk(tmp_path)))
        bench.ask()
        assert bench.found == ("hit", "fresh")

    def test_is_not_readable_by_others_if_it_is_encrypted(self, bench: Bench, tmp_path: Path) -> None:
        secret = b"k" * 32
        bench.serves(answer("a secret answer"))
        bench.wrap(interlay.Cache(disk(tmp_path), encrypt=secret))
        bench.ask()
        bench.settle()
        assert b"a secret answer" not in b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
        bench.wrap(interlay.Cache(disk(tmp_path), encrypt=b"j" * 32))
        bench.ask()
        assert bench.found == ("miss", "absent")
        bench.settle()
        bench.wrap(interlay.Cache(disk(tmp_path), encrypt=b"j" * 32))
        bench.ask()
        assert bench.found == ("hit", "fresh")


class TestForms:
    def test_a_stream_is_replayed_as_a_stream(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        bench.serves(events("Hel", "lo"))
        first, second = bench.ask(question(streamed=True)), bench.ask(question(streamed=True))
        assert first.body == second.body
        assert second.text == "Hello"
        assert second.headers["content-type"].startswith("text/event-stream")
        assert bench.last.streamed
        assert bench.last.chunks is not None
        assert bench.sent == 1

    def test_a_stored_stream_answers_a_plain_request(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        bench.serves(events("Hel", "lo"))
        bench.ask(question(streamed=True))
        plain = bench.ask()
        assert bench.sent == 1
        assert plain.headers["content-type"] == "application/json"
        assert int(plain.headers["content-length"]) == len(plain.body)
        said = json.loads(plain.body)
        assert said["object"] == "chat.completion"
        assert said["choices"][0]["message"]["content"] == "Hello"
        assert said["usage"]["total_tokens"] == 15

    def test_a_stored_answer_is_given_as_a_stream(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        bench.ask()
        streamed = bench.ask(question(streamed=True))
        assert bench.sent == 1
        assert streamed.text == "Hello"
        assert streamed.body.endswith(b"data: [DONE]\n\n")
        assert bench.last.cost is not None
        assert bench.last.cost.avoided == Decimal("0.0000045")

    @pytest.mark.parametrize("stored", ["stream", "body"])
    def test_usage_is_shown_to_those_who_asked_for_it_alone(self, bench: Bench, stored: str) -> None:
        bench.wrap(interlay.Cache())
        bench.serves(events("Hel", "lo") if stored == "stream" else answer())
        bench.ask(question(streamed=stored == "stream"))
        quiet = bench.ask(question(streamed=True))
        shown = bench.ask(question(streamed=True, stream_options={"include_usage": True}))
        assert b"usage" not in quiet.body
        assert shown.body.count(b'"total_tokens":15') == 1
        assert bench.sent == 1

    def test_what_cannot_be_given_in_the_form_that_is_asked_for_is_a_miss(self, bench: Bench) -> None:
        somewhere = "https://llm.example.com/v1/chat/completions"
        bench.wrap(interlay.Cache())
        bench.serves(events("Hello", usage=False), events("Hello"))
        bench.ask(question(streamed=True), url=somewhere)
        shown = bench.ask(question(streamed=True, stream_options={"include_usage": True}), url=somewhere)
        assert bench.found == ("miss", "form")
        assert b'"total_tokens":15' in shown.body

    def test_codings_are_undone(self, bench: Bench) -> None:
        bench.player.coding = "gzip"
        bench.wrap(interlay.Cache())
        first, second = bench.ask(), bench.ask()
        assert first.headers["content-encoding"] == "gzip"
        assert "content-encoding" not in second.headers
        assert first.body == second.body == answer()


class TestKeepingApart:
    def test_credentials_do_not_share(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        bench.ask()
        bench.ask(headers={"authorization": "Bearer sk-secont"})
        assert bench.found == ("miss", "absent")
        assert bench.sent == 2

    def test_tenants_do_not_share_and_credentials_of_one_tenant_do(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        with interlay.using(tenant="acme"):
            bench.ask()
            bench.ask(headers={"authorization": "Bearer sk-rotated"})
            assert bench.found == ("hit", "fresh")
        with interlay.using(tenant="other"):
            bench.ask()
            assert bench.found == ("miss", "absent")

    def test_users_share_unless_answers_vary_by_user(self, bench: Bench) -> None:
        for vary_by, expected in (((), "hit"), (("user",), "miss")):
            bench.wrap(interlay.Cache(vary_by=vary_by))
            with interlay.using(user="ann"):
                bench.ask()
            with interlay.using(user="bob"):
                bench.ask()
            assert bench.found[0] == expected

    @pytest.mark.parametrize(
        "more",
        [
            {"min_p": 0.1},
            {"repetition_penalty": 1.1},
            {"safety_settings": []},
            {"guided_json": {"type": "object"}},
            {"enable_thinking": True},
            {"chat_template_kwargs": {"thinking": False}},
            {"temperature": 0.1},
            {"seed": 7},
            {"something_new": None},
        ],
        ids=lambda more: next(iter(more)),
    )
    def test_pain_9_a_parameter_that_nobody_knows_asks_another_question(
        self, bench: Bench, more: dict[str, Any]
    ) -> None:
        bench.wrap(interlay.Cache())
        bench.ask()
        bench.ask(question(**more))
        assert bench.found == ("miss", "absent")
        assert bench.sent == 2

    def test_pain_9_another_host_asks_another_question(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        bench.ask()
        bench.ask(url="https://llm.example.com/v1/chat/completions")
        assert bench.sent == 2


class TestNeverCached:
    @pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 529])
    def test_errors(self, bench: Bench, status: int) -> None:
        bench.wrap(interlay.Cache())
        bench.serves(status)
        assert bench.ask().status == status
        bench.settle()
        assert bench.ask().status == 200
        assert bench.sent == 2

    @pytest.mark.parametrize(
        "kept_back",
        [answer(finish="content_filter"), answer("", refusal="I will not")],
        ids=["filtered", "refused"],
    )
    def test_filtered_and_refused_answers(self, bench: Bench, kept_back: bytes) -> None:
        bench.wrap(interlay.Cache())
        bench.serves(kept_back)
        assert bench.ask().body == kept_back
        assert bench.ask().body == answer()
        assert bench.sent == 2

    def test_pain_29_a_stream_that_was_cut(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        bench.serves(events("Hel", "lo", done=False)[:150])
        bench.ask(question(streamed=True))
        assert bench.last.end == "error"
        bench.serves(events("Hel", "lo"))
        assert bench.ask(question(streamed=True)).text == "Hello"
        assert bench.sent == 2

    @pytest.mark.parametrize(
        ("asked", "reason"),
        [
            ({"web_search_options": {}}, "server_tools"),
            ({"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]}, "files"),
        ],
        ids=["server-tools", "files"],
    )
    def test_what_depends_on_more_than_the_request(self, bench: Bench, asked: dict[str, Any], reason: str) -> None:
        bench.wrap(interlay.Cache())
        for _ in range(2):
            bench.ask(question(**asked))
            assert bench.found == ("bypass", reason)
        assert bench.sent == 2
        assert bench.last.key is None

    def test_a_request_of_no_dialect(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache())
        for _ in range(2):
            bench.ask({"q": 1}, url="https://example.com/anything")
            assert bench.found == ("bypass", "no_dialect")
        assert bench.sent == 2

    def test_what_is_warmer_than_allowed(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(max_temperature=0.5))
        for temperature, found in ((0.7, "bypass"), (0.5, "miss"), (0.5, "hit"), (None, "bypass")):
            bench.ask(question() if temperature is None else question(temperature=temperature))
            assert bench.found[0] == found


class TestShadow:
    def test_looks_and_gives_nothing(self, bench: Bench) -> None:
        bench.wrap(interlay.Cache(mode="shadow"))
        bench.ask()
        bench.settle()
        got = bench.ask()
        assert bench.sent == 2
        assert bench.found == ("hit", "fresh")
        assert bench.last.cache is not None
        assert bench.last.cache.shadow
        assert bench.last.cost is not None
        assert bench.last.cost.source == "computed"
        assert "age" not in got.headers


class TestForgetting:
    def test_by_key_tag_scope_and_age(self, bench: Bench) -> None:
        cache = interlay.Cache(tags=["all"])
        bench.wrap(cache)
        with interlay.using(tenant="acme", tags=["faq"]):
            bench.ask()
        with interlay.using(tenant="acme"):
            bench.ask(question("another"))
        bench.ask(question("third"))
        bench.settle()
        assert cache.stats().entries == 3
        assert cache.forget(tag="faq") == 1
        assert cache.forget(scope="tenant:acme") == 1
        assert cache.forget(older_than="1h") == 0
        assert cache.forget(key=str(bench.last.key)) == 1
        assert cache.forget(tag="all") == 0
        assert cache.stats().entries == 0

    def test_holds_for_what_is_under_way(self, bench: Bench) -> None:
        store = _Gated()
        cache = interlay.Cache(store)
        bench.wrap(cache)
        bench.ask()
        cache.forget(tag="anything")
        bench.ask()
        assert bench.sent == 2
        cache.forget()
        store.gate.set()
        bench.settle()
        assert len(store) == 0


class TestArguments:
    @pytest.mark.parametrize(
        ("wrong", "told"),
        [
            ({"ttl": -1}, r"ttl=-1.*expected seconds"),
            ({"ttl": "soon"}, r"ttl='soon'.*'10m'"),
            ({"stale_if_error": float("nan")}, "stale_if_error=nan"),
            ({"max_temperature": "hot"}, "max_temperature='hot'"),
            ({"vary_by": "user"}, "vary_by='user'.*list"),
            ({"vary_by": ["colour"]}, "vary_by='colour'.*session"),
            ({"mode": "off"}, "mode='off'.*shadow"),
            ({"encrypt": b"short"}, "encrypt.*16, 24 or 32 bytes"),
            ({"encrypt": "no base64!"}, "encrypt.*base64"),
            ({"store": "cupboard"}, "store=.*expected"),
        ],
    )
    def test_what_is_wrong_is_said_by_name(self, wrong: dict[str, Any], told: str) -> None:
        with pytest.raises(ConfigError, match=told):
            interlay.Cache(**wrong)

    def test_a_secret_is_not_shown(self) -> None:
        with pytest.raises(ConfigError) as refused:
            interlay.Cache(encrypt="c2VjcmV0c2VjcmV0c2VjcmV0")
        assert "c2VjcmV0" not in str(refused.value)

    def test_a_store_of_ones_own_is_used_as_it_is(self, tmp_path: Path) -> None:
        store = GuardedStore(DiskStore(tmp_path))
        assert interlay.Cache(store).store is store


def disk(folder: Path) -> GuardedStore:
    """What ``disk:PATH`` names, for a machine that may be busy."""
    return GuardedStore(DiskStore(folder, timeout=30), 30)


class _Gated(MemoryStore):
    """Writes when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()

    async def set(self, io: IO, key: str, value: bytes, **said: Any) -> bool:
        self.gate.wait(30)
        return await super().set(io, key, value, **said)

    def __len__(self) -> int:
        return drive(self.stats(SyncIO(recorder.runner))).entries
