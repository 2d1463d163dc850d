"""Bring the vendored price snapshot up to date: scripts/prices.py [VERSION] [--check]

The facts come from the data module of the genai-prices package (MIT, Pydantic Services Inc.), which pip
downloads into a temporary directory. It is parsed, never imported and never run. Prices are only ever added:
where one has changed, the old row is closed (`to`) and a new one opened (`from`); a model that the package
has dropped keeps its rows. The hand-kept rows in additions.jsonl are not touched.
"""

from __future__ import annotations

import argparse
import ast
import datetime as dt
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "toolkit" / "interlay" / "cost" / "prices"
PER_DEFAULT = 1_000_000

# The package's price keys and our units, with the number of units a price is for.
UNITS: dict[str, tuple[str, int]] = {
    "input_mtok": ("input", 1_000_000),
    "output_mtok": ("output", 1_000_000),
    "cache_read_mtok": ("cache_read", 1_000_000),
    "cache_write_mtok": ("cache_write", 1_000_000),
    "cache_write_1h_mtok": ("cache_write_1h", 1_000_000),
    "input_audio_mtok": ("input_audio", 1_000_000),
    "cache_audio_read_mtok": ("cache_read_audio", 1_000_000),
    "input_image_mtok": ("input_image", 1_000_000),
    "cache_image_read_mtok": ("cache_read_image", 1_000_000),
    "input_video_mtok": ("input_video", 1_000_000),
    "output_audio_mtok": ("output_audio", 1_000_000),
    "output_image_mtok": ("output_image", 1_000_000),
    "output_video_mtok": ("output_video", 1_000_000),
    "output_reasoning_mtok": ("reasoning", 1_000_000),
    "output_citation_mtok": ("citation", 1_000_000),
    "web_searches_kcount": ("web_search", 1_000),
    "storage_searches_kcount": ("file_search", 1_000),
    "requests_kcount": ("request", 1_000),
    "input_document_kpages": ("page", 1_000),
    "input_annotated_document_kpages": ("annotated_page", 1_000),
    "input_mchars": ("character", 1_000_000),
    "input_text_messages_kcount": ("text_message", 1_000),
    "audio_hours": ("audio_hour", 1),
    "input_audio_hours": ("input_audio_hour", 1),
}

# What the package calls the conditions of a price that we know by the tier that served the call.
TIERS = {("processing", "batch"): "batch", ("speed", "fast"): "fast"}

Row = dict[str, Any]


class Node:
    """A call in the package's data module: its class's name and its keyword arguments."""

    def __init__(self, name: str, arguments: list[Any], fields: dict[str, Any]) -> None:
        self.name = name
        self.arguments = arguments
        self.fields = fields

    def get(self, name: str) -> Any:
        return self.fields.get(name)


def read_literal(node: ast.expr) -> Any:
    """The value of an expression made of literals and constructor calls."""
    match node:
        case ast.Constant(value=value):
            return value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [read_literal(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {read_literal(k): read_literal(v) for k, v in zip(keys, values, strict=True) if k is not None}
        case ast.Call(func=ast.Name(id="Decimal"), args=[argument]):
            return Decimal(read_literal(argument))
        case ast.Call(func=function, args=arguments, keywords=keywords):
            name = ast.unparse(function).rpartition(".")[2]
            fields = {keyword.arg: read_literal(keyword.value) for keyword in keywords if keyword.arg}
            return Node(name, [read_literal(argument) for argument in arguments], fields)
        case ast.Attribute(attr=name):
            return name
    raise ValueError(f"unexpected expression in the package's data: {ast.dump(node)[:200]}")


def read_package(wheel: Path) -> list[Node]:
    """The providers in the package's data module."""
    source = zipfile.ZipFile(wheel).read("genai_prices/data.py").decode()
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign) and ast.unparse(statement.target) == "providers":
            providers: list[Node] = read_literal(statement.value or ast.List(elts=[]))
            return providers
    raise ValueError("the package's data module has no `providers`")


def clause(node: Node) -> dict[str, Any]:
    """A matcher as JSON: {"equals": …}, {"starts_with": …}, {"or": […]} and so on."""
    ((key, value),) = node.fields.items()
    return {key.rstrip("_"): [clause(each) for each in value] if isinstance(value, list) else value}


def plain(price: Decimal) -> str:
    return format(price.normalize(), "f")


def price_cells(prices: Node) -> Iterator[tuple[str, int, int, str]]:
    """Each price of a set: unit, per, the prompt size it starts above, price."""
    for key, value in prices.fields.items():
        unit, per = UNITS[key]
        if isinstance(value, Node):
            yield unit, per, 0, plain(value.get("base"))
            for tier in value.get("tiers"):
                yield unit, per, tier.get("start"), plain(tier.get("price"))
        elif value is not None:
            yield unit, per, 0, plain(value)


def start_of(constraint: Node | None) -> str:
    if constraint is None or constraint.name != "StartDateConstraint":
        return ""
    day = constraint.get("start_date") or constraint.arguments[0]
    return dt.date(*day.arguments).isoformat()


def hours_of(constraint: Node | None) -> str | None:
    if constraint is None or constraint.name != "TimeOfDateConstraint":
        return None
    start, end = (constraint.get(name).arguments for name in ("start_time", "end_time"))
    return f"{start[0]:02}:{start[1]:02}-{end[0]:02}:{end[1]:02}"


def rows_of(model: Node) -> list[Row]:
    """The price rows of a model.

    Later conditions of the package win over earlier ones, so each holds until the next one starts; hours
    listed after a start date hold from that date on.
    """
    prices = model.get("prices")
    conditions = prices if isinstance(prices, list) else [Node("", [], {"prices": prices})]
    dated = [condition for condition in conditions if hours_of(condition.get("constraint")) is None]
    starts = [start_of(condition.get("constraint")) for condition in dated]
    if starts != sorted(starts):
        raise ValueError(f"{model.get('id')}: start dates are out of order")
    rows: list[Row] = []
    for index, condition in enumerate(dated):
        end = starts[index + 1] if index + 1 < len(starts) else ""
        rows += set_rows(model, condition.get("prices"), {"from": starts[index], "to": end})
    for index, condition in enumerate(conditions):
        if hours := hours_of(condition.get("constraint")):
            start = max((start_of(each.get("constraint")) for each in conditions[:index]), default="")
            rows += set_rows(model, condition.get("prices"), {"from": start, "hours_utc": [hours]})
    return rows + variant_rows(model)


def variant_rows(model: Node) -> list[Row]:
    """Rows that hold where a call was served in a certain way; the package's first active one wins."""
    ends: dict[tuple[str, str], str] = {}
    rows: list[Row] = []
    for variant in model.get("price_variants") or []:
        when = dict(condition(*item) for item in variant.get("when").items())
        start = start_of(variant.get("constraint"))
        for row in set_rows(model, variant.get("prices"), {"from": start, "when": when}):
            key = (json.dumps(when), row["unit"])
            end = ends.get(key, "")
            if end == "" or start < end:
                rows.append({**row, "to": end} if end else row)
        for unit, *_ in price_cells(variant.get("prices")):
            ends[json.dumps(when), unit] = start
    return [ordered(row) for row in rows]


def condition(key: str, value: str) -> tuple[str, str]:
    tier = TIERS.get((key, value))
    return ("service_tier", tier) if tier else (key, value)


def set_rows(model: Node, prices: Node, conditions: Row) -> list[Row]:
    return [
        ordered({"model": model.get("id"), "unit": unit, "price": price, "per": per, "tier_over": over} | conditions)
        for unit, per, over, price in price_cells(prices)
    ]


ORDER = (
    *("model", "unit", "price", "per", "tier_over", "hours_utc", "weekdays"),
    *("when", "from", "to", "source", "checked"),
)


def ordered(row: Row) -> Row:
    """The row with its keys in a fixed order and without what is the default."""
    kept = {key: row[key] for key in ORDER if row.get(key) not in (None, "", 0, [])}
    if kept.get("per") == PER_DEFAULT:
        del kept["per"]
    return kept


def key_of(row: Row) -> str:
    """What makes two rows prices of the same thing."""
    return json.dumps([row.get(name) for name in ("model", "unit", "tier_over", "hours_utc", "weekdays", "when")])


def merge(old: list[Row], new: list[Row], today: str, gone: set[str]) -> list[Row]:
    """Old rows, closed where they no longer hold, and the rows that follow them.

    `gone` are models that the package has dropped: their rows stay as they are.
    """
    series = group(new)
    merged: list[Row] = []
    seen: set[str] = set()
    for key, rows in group(old).items():
        seen.add(key)
        merged += rows if rows[0]["model"] in gone else follow(rows, series.get(key, []), today)
    opened = {row["model"] for row in old}
    for key, rows in series.items():
        if key not in seen:
            fresh = rows[0]["model"] not in opened
            merged += [row if fresh or row.get("from") else ordered({**row, "from": today}) for row in rows]
    return merged


def group(rows: list[Row]) -> dict[str, list[Row]]:
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(key_of(row), []).append(row)
    for each in grouped.values():
        each.sort(key=lambda row: row.get("from", ""))
    return grouped


def follow(old: list[Row], new: list[Row], today: str) -> list[Row]:
    """A series of one price with what is new appended. What was said about the past is not rewritten."""
    last = old[-1]
    if last.get("to"):  # closed: only what starts later is news
        return old + [row for row in new if row.get("from", "") >= last["to"]]
    current = new[-1] if new else None
    if current is not None and current["price"] == last["price"]:
        return [*old[:-1], ordered({**last, "to": current.get("to")})]
    start = last.get("from", "")
    later = [row for row in new if row.get("from", "") > start]
    if not later and current is not None:
        later = [ordered({**current, "from": today})]
    end = later[0]["from"] if later else today
    return [*old[:-1], ordered({**last, "to": end}), *later]


def read_file(path: Path) -> tuple[Row, list[Row], list[Row]]:
    """A snapshot's head, its models and its rows."""
    if not path.exists():
        return {}, [], []
    head, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    return head, [line for line in lines if "match" in line], [line for line in lines if "match" not in line]


def write_provider(provider: Node, version: str, today: str) -> str:
    """One provider's file, brought up to date: its text."""
    path = FOLDER / f"{provider.get('id')}.jsonl"
    old_head, old_models, old_rows = read_file(path)
    models = [{"model": model.get("id"), "match": clause(model.get("match"))} for model in provider.get("models")]
    names = {model["model"] for model in models}
    gone = {model["model"] for model in old_models} - names
    new_rows = [row for model in provider.get("models") for row in rows_of(model)]
    rows = merge(old_rows, new_rows, today, gone)
    models += [model for model in old_models if model["model"] in gone]
    place = {model["model"]: index for index, model in enumerate(models)}
    rows.sort(key=lambda row: place[row["model"]])
    head = {"provider": provider.get("id"), "source": f"genai-prices {version}", "checked": today}
    if others := provider.get("fallback_model_providers"):
        head["others"] = others
    if (models, rows) == (old_models, old_rows) and {**old_head, "source": "", "checked": ""} == {
        **head, "source": "", "checked": ""
    }:  # fmt: skip
        head = old_head
    lines = [head, *models, *rows]
    return "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)


def download(version: str | None, folder: str) -> Path:
    wanted = f"genai-prices=={version}" if version else "genai-prices"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder, wanted]
    subprocess.run(command, check=True)
    return next(Path(folder).glob("genai_prices-*.whl"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("version", nargs="?", help="of the package; the newest when left out")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when something would change")
    options = parser.parse_args()
    today = dt.datetime.now(dt.UTC).date().isoformat()
    stale = []
    with tempfile.TemporaryDirectory() as folder:
        wheel = download(options.version, folder)
        for provider in read_package(wheel):
            path = FOLDER / f"{provider.get('id')}.jsonl"
            text = write_provider(provider, wheel.name.split("-")[1], today)
            if path.exists() and path.read_text() == text:
                continue
            stale.append(path.name)
            if not options.check:
                path.write_text(text)
    print(f"{len(stale)} files {'differ' if options.check else 'written'}: {', '.join(stale) or '-'}")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
