"""Stores by name: which they are, what is guarded, and errors that say what is wrong and show no password."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from interlay.model.errors import ConfigError
from interlay.stores import open_store
from interlay.stores.disk import DiskStore
from interlay.stores.guarded import GuardedStore
from interlay.stores.memory import MemoryStore
from interlay.stores.redis import RedisStore
from interlay.stores.tiers import Tiers


def guarded(store: object, kind: type) -> Any:
    assert isinstance(store, GuardedStore)
    assert isinstance(store.store, kind)
    return store.store


@pytest.mark.parametrize(
    ("spec", "size"),
    [
        ("memory", 256 * 2**20),
        ("memory:64MB", 64_000_000),
        ("memory:64 MiB", 64 * 2**20),
        ("memory:2gb", 2_000_000_000),
    ],
)
def test_memory_is_not_guarded(spec: str, size: int) -> None:
    store = open_store(spec)
    assert isinstance(store, MemoryStore)
    assert store.max_bytes == size


def test_disk(tmp_path: Path) -> None:
    store = guarded(open_store(f"disk:{tmp_path}/a:b"), DiskStore)
    assert store.path == tmp_path / "a:b"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "spec",
    [
        "redis://ann:hunter22@localhost:7000/1",
        "rediss://:hunter22@localhost",
        "redis+cluster://a:1,b:2",
        "redis+sentinel://a:1,b:2/answers/3",
    ],
)
def test_redis(spec: str) -> None:
    opened = open_store(spec)
    store = guarded(opened, RedisStore)
    assert isinstance(opened, GuardedStore)
    for text in (repr(store), opened.name, str(store.address)):
        assert "hunter22" not in text
    store.close()


def test_a_list_is_tiers() -> None:
    own = MemoryStore()
    store = open_store(["memory:1MiB", own, "redis://localhost"])
    assert isinstance(store, Tiers)
    assert store.stores[1] is own
    guarded(store.stores[2], RedisStore)
    assert open_store([own]) is own
    assert open_store(own) is own
    store.close()


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "store=…: expected 'memory'"),
        ("disk", "store=disk…: expected"),
        ("disk:", "store=disk…: expected"),
        ("memcached://hunter22@x", "store=memcached…: expected"),
        ("hunter22@x", "store=…: expected"),
        ("memory:much", "store=memory:'much': expected a size"),
        ("memory:1 KB", "expected a size, such as 64MB"),
        ("redis://u:hunter22@", "has no host"),
        ("redis://u:hunter22@h/x", "has the path '/x'"),
        ("redis:localhost", "has no host"),
        ([], "store=.*expected 'memory'"),
        ([["memory"]], "no list within the list"),
        (["memory", 5], "store=5: expected"),
        (None, "store=None: expected"),
        (5, "store=5: expected"),
        ({"memory": 1}, "store=dict: expected"),
        (b"memory", "store=bytes: expected"),
        (MemoryStore, "store=type: expected"),
    ],
)
def test_what_names_none_is_told(spec: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        open_store(spec)
    assert "hunter22" not in str(caught.value)


@pytest.mark.parametrize(("spec", "package"), [("disk:x", "diskcache"), ("redis://x", "redis")])
def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, spec: str, package: str) -> None:
    ours = ("interlay.stores.disk", "interlay.stores.redis")
    for name in [name for name in sys.modules if name.startswith(ours) or name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=rf"needs the package {package}: pip install 'interlay\["):
        open_store(spec)
