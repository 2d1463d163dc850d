"""Which service and which process telemetry is from, as OpenTelemetry's resource attributes."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from uuid import uuid4

import msgspec

from interlay.model.record import Record
from interlay.telemetry import otlp, settings
from interlay.telemetry.vocabulary import Attributes


class Origin:
    """What all telemetry of this process has in common. After a fork, the child's is its own.

    Services that share a journal are told apart by name and namespace: each ships its own records, to where it is
    told to. The processes of one service ship each other's, so what a killed one left is not lost; a record carries
    the attributes of the process that wrote it.
    """

    def __init__(self, version: str, env: Mapping[str, str]) -> None:
        self.version: Final = version
        """Of interlay."""
        self._attributes = settings.resource(version, env)
        self._says_pid = "process.pid" not in settings.resource_of(env)
        self._pid = os.getpid()
        self._instance = str(uuid4())
        self.service: Final = service_id(self._attributes)
        """Sixteen hexadecimal digits that stand for the service."""

    def attributes(self) -> Attributes:
        """Of this process."""
        pid = os.getpid()
        if pid != self._pid:
            self._pid, self._instance = pid, str(uuid4())
            if self._says_pid:
                self._attributes = {**self._attributes, "process.pid": pid}
        return self._attributes

    def instance(self) -> Attributes:
        """The same, telling this process from all others: figures are a process's own."""
        return {**self.attributes(), "service.instance.id": self._instance}

    def stamp(self) -> bytes:
        """What the journal adds to each record that this process writes."""
        return b',"resource":' + msgspec.json.encode(self.attributes()) + b"}"


def service_id(attributes: Mapping[str, Any]) -> str:
    """What stands for a service: equal names in equal namespaces, equal digits."""
    whose = "\0".join(str(attributes.get(f"service.{part}", "")) for part in ("namespace", "name"))
    return hashlib.blake2b(
        whose.encode("utf-8", "surrogatepass"), digest_size=8, person=b"interlay.service"
    ).hexdigest()


def resource_of(record: Record, own: Origin) -> bytes:
    """The encoded resource of the process that made a record; ``own`` where the record does not say, as those in
    memory do not, and those of earlier versions."""
    return _encoded(msgspec.json.encode(record.resource or own.attributes()))


@lru_cache(256)
def _encoded(attributes: bytes) -> bytes:
    return otlp.resource(msgspec.json.decode(attributes))
