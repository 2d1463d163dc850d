"""A configuration makes what a program would make in Python, or says everything that is wrong with it."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.entry.wires import MESSAGES, Wire

import interlay
from interlay import config
from interlay.chain.recorder import Guarded
from interlay.config import Configuration, ConfigurationError
from interlay.config.schema import Source, configuration
from interlay.cost import PriceBook
from interlay.entry import process
from interlay.telemetry.settings import OTLP, Sampling

SEEN: list[interlay.Record] = []


def record(each: interlay.Record) -> None:
    SEEN.append(each)


NO_FUNCTION = 7


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "interlay.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def process_as_it_was() -> Iterator[None]:
    yield
    interlay.setup(journal=False, export=False)


def shape(part: Any) -> Any:
    """What a chain, or a part of one, is made of."""
    if isinstance(part, interlay.Chain):
        return [shape(each) for each in (*part.layers, *part.observers)]
    if isinstance(part, Guarded):
        return (part.inline, part.on_start, part.on_attempt, part.on_end)
    return type(part), vars(part)


def made(source: Path, **variables: str) -> Configuration:
    return config.load(source, variables=variables)


def refused(source: Path, **variables: str) -> list[str]:
    with pytest.raises(ConfigurationError) as raised:
        config.load(source, variables=variables)
    told = [str(problem).removeprefix(f"{source}:") for problem in raised.value.problems]
    assert str(raised.value).splitlines() == [str(problem) for problem in raised.value.problems]
    return told


REFERENCE = "tests.unit.config.test_loading:record"


class TestChains:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("", []),
            ("chain: []", []),
            ("chain: [retry]", [interlay.Retry()]),
            ("chain:\n  - retry:\n  - timeout: {total: 60}", [interlay.Retry(), interlay.Timeout(total=60)]),
            (
                "chain:\n- timeout: {attempt: 1.5, total: 0x10, mode: shadow}\n- retry:\n    attempts: 5",
                [interlay.Timeout(attempt=1.5, total=16, mode="shadow"), interlay.Retry(attempts=5)],
            ),
        ],
    )
    def test_are_those_that_python_makes(self, text: str, parts: list[Any], file: Callable[[str], Path]) -> None:
        loaded = interlay.Chain.load(file(text))
        assert type(loaded) is interlay.Chain
        assert shape(loaded) == shape(interlay.Chain(*parts))
        assert repr(loaded) == repr(interlay.Chain(*parts))

    @given(data=st.data())
    def test_law_whatever_a_part_can_be_made_with(self, data: st.DataObject, tmp_path_factory: Any) -> None:
        seconds = st.floats(0.001, 1e6)
        drawn = data.draw(
            st.lists(
                st.one_of(
                    st.tuples(
                        st.just("retry"),
                        st.fixed_dictionaries(
                            {},
                            optional={
                                "attempts": st.integers(1, 9),
                                **dict.fromkeys(("backoff", "max_wait", "max_retry_after"), seconds),
                                "mode": st.sampled_from(["on", "shadow"]),
                            },
                        ),
                    ),
                    st.tuples(
                        st.just("timeout"), st.fixed_dictionaries({"total": seconds}, optional={"attempt": seconds})
                    ),
                ),
                max_size=4,
            )
        )
        as_given = data.draw(st.booleans())
        kinds: dict[str, Any] = {"retry": interlay.Retry, "timeout": interlay.Timeout}
        built = interlay.Chain(*[kinds[name](**options) for name, options in drawn], as_given=as_given)
        path = tmp_path_factory.getbasetemp() / "law.yaml"
        path.write_text(json.dumps({"chain": [{name: options} for name, options in drawn], "as_given": as_given}))
        assert shape(interlay.Chain.load(path)) == shape(built)

    def test_have_functions_of_the_programs_own(self, file: Callable[[str], Path]) -> None:
        SEEN.clear()
        source = file(f"chain:\n- observe: {{target: '{REFERENCE}', inline: true}}")
        client = interlay.wrap(Wire(200).for_openai(), interlay.Chain.load(source))
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        assert [each.end for each in SEEN] == ["complete"]

    def test_take_every_setting_that_their_parts_take(self) -> None:
        parts = configuration(Source(Path(), {}, imports=False), Configuration).fields["chain"].type
        (choice,) = parts.__args__
        for name, kind, without in (
            ("cache", interlay.Cache, set()),
            ("retry", interlay.Retry, {"random"}),
            ("timeout", interlay.Timeout, set()),
            ("observe", interlay.Observe, set()),
            ("trace", interlay.Trace, {"tracer_provider", "version"}),
        ):
            assert set(choice.shapes[name].fields) == set(inspect.signature(kind).parameters) - without

    def test_may_trace(self, file: Callable[[str], Path]) -> None:
        (part,) = made(file("chain: [trace: {vocabulary: openinference, content_limit: 10}]")).parts
        assert isinstance(part, interlay.Trace)


class TestProcess:
    def test_what_a_file_does_not_say_is_left_as_it_is(self, file: Callable[[str], Path]) -> None:
        loaded = made(file("chain: [retry]"))
        assert not loaded.sets_up
        process.recorder.contents = True
        try:
            interlay.Chain.load(file("chain: [retry]"))
            assert process.recorder.contents
        finally:
            process.recorder.contents = False

    def test_is_set_up_by_loading_a_chain(
        self, file: Callable[[str], Path], tmp_path: Path, process_as_it_was: None
    ) -> None:
        (tmp_path / "prices.jsonl").write_text('{"model": "gpt-4o-mini", "unit": "input", "price": "7", "per": 1}\n')
        chain = interlay.Chain.load(file("journal: ./kept\ncontents: true\nprices: prices.jsonl\nexport: false"))
        client = interlay.wrap(Wire(200).for_openai(), chain)
        client.chat.completions.create(model="gpt-4o-mini", messages=MESSAGES)
        newest = interlay.last(1)[0]
        assert newest.contents is not None
        assert newest.cost is not None
        assert newest.cost.amount is not None
        assert newest.cost.amount > 63
        assert list((tmp_path / "kept").iterdir())

    def test_destinations_are_those_that_python_makes(self, file: Callable[[str], Path], tmp_path: Path) -> None:
        loaded = made(
            file(
                """
                export:
                  - http://localhost:6006
                  - endpoint: http://${HOST}:4318
                    name: second
                    protocol: http/protobuf
                    headers: {authorization: "Bearer ${KEY}", x-kind: plain}
                    certificate: ca.pem
                    vocabulary: langfuse
                    sampling: {ratio: 0.25, dear: 0.01}
                    signals: [traces]
                    timeout: 3
                """
            ),
            HOST="collector",
            KEY="sk-canary-1234",
        )
        assert loaded.export == [
            "http://localhost:6006",
            OTLP(
                endpoint="http://collector:4318",
                name="second",
                protocol="http/protobuf",
                headers={"authorization": interlay.Secret("Bearer sk-canary-1234"), "x-kind": "plain"},
                certificate=str(tmp_path / "ca.pem"),
                vocabulary="langfuse",
                sampling=Sampling(ratio=0.25, dear=Decimal("0.01")),
                signals=("traces",),
                timeout=3.0,
            ),
        ]
        assert "canary" not in repr(loaded)

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("prometheus: 127.0.0.1:9464", {"prometheus": ("127.0.0.1", 9464)}),
            ("prometheus: '[::1]:1'", {"prometheus": ("::1", 1)}),
            ("prometheus: true", {"prometheus": True}),
            ("journal: true\nexport: false", {"journal": True, "export": False}),
            ("export: {endpoint: 'http://a'}", {"export": OTLP(endpoint="http://a")}),
            ("export: http://${HOST}", {"export": "http://b"}),
            ("contents: false", {"contents": False}),
        ],
    )
    def test_is_told_what_setup_is_told(self, text: str, said: dict[str, Any], file: Callable[[str], Path]) -> None:
        loaded = made(file(text), HOST="b")
        assert loaded == Configuration(**said)
        assert loaded.sets_up

    def test_prices_go_before_our_own(self, file: Callable[[str], Path], tmp_path: Path) -> None:
        (tmp_path / "p.jsonl").write_text('{"model": "mine", "unit": "input", "price": "1", "per": 1}\n')
        book = made(file("prices: p.jsonl")).prices
        assert isinstance(book, PriceBook)
        assert book.rows(None, "mine")
        assert book.rows("openai", "gpt-4o-mini")


EVERYTHING_WRONG = """\
chain:
  - retry: {attempts: 0, backof: 1, backoff: -2, max_wait: x}
  - retry:
      mode: shadwo
  - timeout
  - timeout: {total: 60, attempt: "${SECONDS}"}
  - cach: {}
  - observe: {target: "a b"}
  - observe: {inline: yes}
  - 7
  - {retry: 1, timeout: 2}
  - retry: 5
journal: 5
contents: no
prices: nothere.jsonl
export:
  - endpoint: ${NOPE}
    vocabulary: openinferenc
    headers: {authorization: "${no name}", x-n: 5}
    sampling: {ratio: 2}
    signals: [traces, metric]
  - endpoint: ftp://x
prometheus: nowhere
chian: 1
chain: []
"""
TOLD = """\
2:23: Retry(attempts=0): expected a whole number of sends, 1 or more
2:26: there is no chain[0].retry.backof; did you mean backoff?
2:46: Retry(backoff=-2.0): expected seconds, 0 or more
2:60: chain[0].retry.max_wait: expected a number, got 'x'
4:13: chain[1].retry.mode: expected on, shadow, got 'shadwo'; did you mean shadow?
5:5: Timeout(): expected attempt=, total= or both, in seconds
6:35: chain[3].timeout.attempt: environment variables are not read here
7:5: chain[4]: there is no cach; did you mean cache?
8:23: 'a b': expected module:name, such as myapp.audit:record
9:14: chain[6].observe.target is missing
9:23: chain[6].observe.inline: expected true or false, got 'yes'
10:5: chain[7]: expected one name, by itself or with settings after a colon
11:5: chain[8]: expected one name, by itself or with settings after a colon
12:12: chain[9].retry: expected settings, got 5
13:10: journal: expected true or false or text, got 5
14:11: contents: expected true or false, got 'no'
15:9: prices: {folder}/nothere.jsonl: No such file or directory; expected a file of price rows
17:15: export[0].endpoint: NOPE is not set
18:17: export[0].vocabulary: expected genai-1.41, genai-next, openinference, langfuse, mlflow, got 'openinferenc'; \
did you mean openinference?
19:30: export[0].headers.authorization: no name is no variable's name
19:49: export[0].headers.x-n: expected text, got 5
20:23: Sampling(ratio=2.0): expected 0 to 1
21:23: export[0].signals[1]: expected traces, metrics, logs, got 'metric'; did you mean metrics?
22:15: OTLP(endpoint=…): 'ftp://x'; expected http:// or https:// and a host, such as http://localhost:4318
23:13: prometheus: expected true, false, or an address such as 127.0.0.1:9464
24:1: there is no chian; did you mean chain?
25:1: chain is here twice; it is in line 1 already
"""


class TestCaches:
    def test_are_made_as_in_python(self, file: Callable[[str], Path], tmp_path: Path) -> None:
        text = """\
chain:
  - cache:
      store: ["memory:64MB", "disk:answers"]
      ttl: 10m
      stale_while_revalidate: 60
      vary_by: [user]
      tags: [faq]
      max_temperature: 0.5
      encrypt: "${CACHE_KEY}"
      mode: shadow
"""
        (cache,) = made(file(text), CACHE_KEY="c2VjcmV0c2VjcmV0c2Vjcg==").parts
        assert isinstance(cache, interlay.Cache)
        assert (cache.ttl, cache.stale_while_revalidate, cache.max_temperature) == (600, 60, 0.5)
        assert (cache.vary_by, cache.tags, cache.mode) == (("user",), ("faq",), "shadow")
        assert cache.stats().entries == 0
        assert (tmp_path / "answers").is_dir(), "relative to the file"
        cache.close()

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("chain: [cache: {ttl: soon}]", "1:22: Cache(ttl='soon'): expected seconds, 0 or more"),
            ("chain: [cache: {store: cupboard}]", "expected 'memory'"),
            ("chain: [cache: {encrypt: short}]", "expected 16, 24 or 32 bytes"),
            ("chain: [cache: {vary_by: [colour]}]", "expected some of key, session, tags, user"),
        ],
    )
    def test_what_is_wrong_is_said_by_name(self, file: Callable[[str], Path], text: str, told: str) -> None:
        assert told in "\n".join(refused(file(text)))


class TestProblems:
    def test_are_all_said_at_once_with_line_and_column(self, file: Callable[[str], Path], tmp_path: Path) -> None:
        assert refused(file(EVERYTHING_WRONG)) == TOLD.format(folder=tmp_path).splitlines()

    @pytest.mark.parametrize(
        ("text", "told"),
        [
            ("- a", "1:1: expected settings, such as chain:"),
            ("word", "1:1: expected settings, such as chain:"),
            ("chain: retry", "1:8: chain: expected a list, got 'retry'"),
            ("chain: {retry: {}}", "1:8: chain: expected a list, got settings"),
            ("contents:", "1:10: contents: expected true or false, got nothing"),
            ("contents: [true]", "1:11: contents: expected true or false, got a list"),
            ("export: true", "1:9: export: expected false, a URL, settings or a list of these, got true"),
            ("export: nowhere", "1:9: OTLP(endpoint=…): 'nowhere'; expected http:// or https:// and a host, such as"),
            ("prometheus: 1.2.3.4:99999", "1:13: prometheus: expected true, false, or an address"),
            ("chain: [observe: {target: 'no.such.module:x'}]", "1:27: no.such.module:x cannot be imported: ModuleNot"),
            (
                "chain: [observe: {target: 'tests.unit.config.test_loading:NO_FUNCTION'}]",
                "1:27: Observe(target): expected a function",
            ),
            ("chain: [observe: {target: 'json:nothing'}]", "1:27: json:nothing cannot be imported: AttributeError"),
        ],
    )
    def test_say_what_was_expected(self, text: str, told: str, file: Callable[[str], Path]) -> None:
        (problem,) = refused(file(text))
        assert problem.startswith(told)

    def test_a_file_that_cannot_be_read(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="cannot be read: No such file or directory"):
            interlay.Chain.load(tmp_path / "none.yaml")
        assert len(config.check(tmp_path)) == 1

    def test_never_show_what_is_in_a_variable(self, file: Callable[[str], Path]) -> None:
        canary = "sk-canary-5678"
        settings = ("journal", "contents", "prices", "export", "prometheus", "as_given")
        told = refused(file("\n".join(f"{name}: ${{KEY}}" for name in settings)), KEY=canary)
        told += refused(file("export: [{endpoint: '${KEY}', name: second}, {headers: {'a b': '${KEY}'}}]"), KEY=canary)
        assert len(told) > 6
        assert not [problem for problem in told if canary in problem]

    def test_a_check_runs_nobodys_code(self, file: Callable[[str], Path], tmp_path: Path) -> None:
        (tmp_path / "loud.py").write_text("raise SystemExit('imported')")
        assert config.check(file("chain: [observe: {target: 'loud:record'}]")) == ()
        assert "loud" not in sys.modules

    def test_changes_nothing_where_something_is_wrong(self, file: Callable[[str], Path]) -> None:
        with pytest.raises(ConfigurationError):
            interlay.Chain.load(file("contents: true\nchain: [rety]"))
        assert not process.recorder.contents


def test_without_pyyaml_it_says_what_to_install(file: Callable[[str], Path]) -> None:
    program = f"import sys; sys.modules['yaml'] = None; import interlay; interlay.Chain.load({str(file(''))!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'interlay[yaml]'" in done.stderr.splitlines()[-1]
