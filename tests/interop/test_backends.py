"""What two backends that are not ours make of what we send them, read back through their own interfaces.

Each lives in a virtual environment of its own (850 MB, some minutes), made on first use in ``$INTERLAY_INTEROP``, else
in ``.venv-interop`` beside the repository's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import venv
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.unit.telemetry.exchanges import AT, attempt, record, refused, streamed, with_contents

from interlay.model.cost import Cost
from interlay.model.record import CacheOutcome, Link, Record
from interlay.telemetry import otlp
from interlay.telemetry.sending import HTTPTransport
from interlay.telemetry.settings import OTLP, resolve
from interlay.telemetry.spans import Told, spans_of
from interlay.telemetry.vocabulary import VOCABULARIES, VocabularyName

pytestmark = pytest.mark.timeout(1800)
FOLDER = Path(os.environ.get("INTERLAY_INTEROP") or Path(__file__).parents[2] / ".venv-interop")
TOKENS = 58 + 64
COST = 0.0000471
NOW = time.time() - 60


def interpreter(name: str, *packages: str) -> str:
    """The interpreter of a backend's environment, made if it is not there."""
    python = FOLDER / name / "bin" / "python"
    if not python.exists():
        venv.create(FOLDER / name)
        subprocess.run([sys.executable, "-m", "uv", "pip", "install", "--python", python, *packages], check=True)
    return str(python)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def ask(url: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text[:1] in b"{[" else text


def serve(command: list[str], env: dict[str, str], health: str, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **env}, stdout=output, stderr=output, start_new_session=True
        )
    deadline = time.monotonic() + 300
    while True:
        try:
            ask(health)
            return process
        except OSError:
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(1)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a server and what it has started; on a busy machine it may take long to say its farewells."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="module")
def phoenix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("phoenix"), free_port()
    env = {
        "PHOENIX_WORKING_DIR": str(folder), "PHOENIX_PORT": str(port), "PHOENIX_GRPC_PORT": str(free_port()),
        "PHOENIX_HOST": "127.0.0.1", "PHOENIX_TELEMETRY_ENABLED": "false",
    }  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    python = interpreter("phoenix", "arize-phoenix==20.26.1")
    process = serve([python, "-m", "phoenix.server.main", "serve"], env, f"{url}/healthz", folder / "log")
    yield url
    stop(process)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        interpreter("mlflow", "mlflow==3.17.2"), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
        "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/m.db", "--default-artifact-root", f"{folder}/art",
    ]  # fmt: skip
    process = serve(command, {}, f"{url}/health", folder / "log")
    yield url
    stop(process)


def sent(vocabulary: str) -> list[Record]:
    """A plain call, one that fell back, one that failed, a stream, and a hit of a cache on the first one's answer: of
    now, under ids of their own."""
    elsewhere = attempt(
        target="https://api.anthropic.com/v1/messages", provider="anthropic", model="claude-sonnet-4-5",
        started_at=AT + 0.4, seconds=0.4,
    )  # fmt: skip
    failure = refused().error
    records = [
        with_contents(),
        with_contents(attempts=(refused(), refused(503), elsewhere), served_model="claude-sonnet-4-5"),
        record(attempts=(refused(),), end="error", error=failure, usage=None, served_model=None, response=None),
        streamed(),
    ]
    ids = [f"{abs(hash(vocabulary)) % 16**12:012x}{n:08x}" for n in range(5)]
    records.append(
        with_contents(
            attempts=(), usage=None, cost=Cost(amount=Decimal(0), source="cache_hit", avoided=Decimal(str(COST))),
            cache=CacheOutcome(outcome="hit", reason="fresh", age=9.0), links=(Link(id=ids[0], kind="cache_producer"),),
        )
    )  # fmt: skip
    return [now(each, given) for given, each in zip(ids, records, strict=True)]


def now(of: Record, id: str) -> Record:
    shift = NOW - AT
    sends = tuple(msgspec.structs.replace(send, started_at=send.started_at + shift) for send in of.attempts)
    return msgspec.structs.replace(
        of, id=id, call_id=id, started_at=of.started_at + shift, ended_at=of.ended_at + shift, attempts=sends
    )


def send(url: str, vocabulary: VocabularyName, project: str, **headers: str) -> None:
    told = Told(VOCABULARIES[vocabulary], 65_536)
    resource = otlp.resource({"service.name": "interop", "openinference.project.name": project})
    items = [otlp.spans_item(spans_of(each, told)) for each in sent(project)]
    places = resolve(OTLP(endpoint=url, headers={k.replace("_", "-"): v for k, v in headers.items()}, timeout=60), {})
    transport = HTTPTransport(places.endpoints)
    answer = transport.send("traces", otlp.request(items, resource, otlp.scope("1")))
    transport.close()
    assert answer.kind == "taken", answer


def until(look: Callable[[], Any], enough: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + 120
    while not enough(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(1)
    return found


@pytest.mark.parametrize("vocabulary", ["genai-1.41", "openinference"])
def test_phoenix_shows_the_tree_counts_once_and_prices(phoenix: str, vocabulary: VocabularyName) -> None:
    project = f"interlay-{vocabulary.replace('.', '-')}"
    send(phoenix, vocabulary, project)

    def stored() -> Any:
        try:
            return ask(f"{phoenix}/v1/projects/{project}/spans?limit=100")["data"]
        except urllib.error.HTTPError:  # the project is made with its first span
            return []

    spans = until(stored, lambda found: len(found) == 9)
    by_id = {span["context"]["span_id"]: span for span in spans}
    calls = {
        span["attributes"].get("interlay.cache.outcome"): span for span in spans if span["name"] == "interlay.call"
    }
    call, hit = calls[None], calls["hit"]
    assert hit["attributes"]["interlay.cache.producer.id"] == sent(project)[0].id
    assert hit["attributes"]["interlay.cost.saved_usd"] == COST
    children = sorted(span["name"] for span in spans if span["parent_id"] == call["context"]["span_id"])
    assert children == ["chat claude-sonnet-4-5", "chat gpt-4o-mini"]
    attempts = [span for span in spans if span["name"].startswith("interlay.attempt")]
    assert {by_id[span["parent_id"]]["name"] for span in attempts} == {"chat gpt-4o-mini"}
    served = next(span for span in spans if span["name"] == "chat claude-sonnet-4-5")
    assert served["span_kind"] == "LLM"
    assert served["attributes"]["llm.model_name"] == "claude-sonnet-4-5"
    assert served["attributes"]["llm.token_count.prompt_details.cache_write"] == 6
    assert served["attributes"]["llm.input_messages.1.message.content"] == "Weather in Oslo?"
    query = "{projects{edges{node{name tokenCountTotal costSummary{total{cost}}}}}}"

    def totals() -> Any:
        edges = ask(f"{phoenix}/graphql", {"query": query})["data"]["projects"]["edges"]
        return next(edge["node"] for edge in edges if edge["node"]["name"] == project)

    found = until(totals, lambda node: bool(node["costSummary"]["total"]["cost"]))
    assert found["tokenCountTotal"] == 3 * TOKENS


def test_mlflow_shows_previews_counts_once_and_takes_our_price(mlflow: str) -> None:
    created = ask(f"{mlflow}/api/2.0/mlflow/experiments/create", {"name": "interlay"})
    experiment = created["experiment_id"]
    send(mlflow, "mlflow", "mlflow", x_mlflow_experiment_id=experiment)
    place = {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}}
    search = {"locations": [place], "max_results": 10}
    traces = until(
        lambda: ask(f"{mlflow}/api/3.0/mlflow/traces/search", search).get("traces", []), lambda found: len(found) == 5
    )
    assert sorted(trace["state"] for trace in traces) == ["ERROR", "OK", "OK", "OK", "OK"]
    assert sum("Oslo" in trace.get("request_preview", "") for trace in traces) == 3
    told = [trace["trace_metadata"] for trace in traces]
    usage = [json.loads(each["mlflow.trace.tokenUsage"]) for each in told if "mlflow.trace.tokenUsage" in each]
    assert [each["total_tokens"] for each in usage] == [TOKENS] * 3
    assert [each["cache_creation_input_tokens"] for each in usage] == [6] * 3
    costs = [json.loads(each["mlflow.trace.cost"])["total_cost"] for each in told if "mlflow.trace.cost" in each]
    assert sum(costs) == pytest.approx(3 * COST)
    assert {each["mlflow.trace.session"] for each in told} == {"s-1"}
