"""An HTTP library's request, as the chain sees it."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from types import ModuleType
from typing import Any, Final

from interlay.chain.call import BodyKind
from interlay.model.arguments import is_number

MAX_BODY: Final = 32 * 1024 * 1024
"""Requests over this are opaque: forwarded, and not looked into."""

_SECRET_HEADERS: Final = re.compile(r"auth|key|token|secret|cookie|credential|password|signature", re.IGNORECASE)
_SECRET_QUERY: Final = re.compile(r"key|token|secret|sig|password|credential|code", re.IGNORECASE)
_SCHEMES: Final = ("bearer ", "basic ", "token ", "apikey ")


class HTTPRequest:
    """A request of httpx or httpx2. Its body is read only where the library holds it already."""

    __slots__ = ("_secrets", "body", "kind", "method", "module", "native")

    def __init__(self, native: Any, module: ModuleType) -> None:
        self.native: Any = native
        self.module = module
        self.method: str = native.method
        self.kind: BodyKind = "open"
        self._secrets: tuple[str, ...] | None = None
        self.body: bytes | None = None
        try:
            body: bytes = native.content
        except module.RequestNotRead:
            self.kind = "opaque"
            return
        is_json = body.startswith(b"{") or not body or (native.headers.get("content-type") or "").startswith(_JSON)
        if len(body) > MAX_BODY or not is_json:
            self.kind = "opaque"
            return
        self.body = body

    @property
    def signed(self) -> bool:
        """Whether a signature above the seam covers the body."""
        credentials = self.native.headers.get("authorization") or ""
        return self.kind == "open" and credentials.startswith(("AWS4-", "Signature "))

    @property
    def headers(self) -> MutableMapping[str, str]:
        """As they will be sent; names in any case."""
        return self.native.headers  # type: ignore[no-any-return]

    def header(self, name: str) -> str | None:
        return self.native.headers.get(name)  # type: ignore[no-any-return]

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The headers as they will be sent, names in any case, in their order."""
        return self.native.headers.raw  # type: ignore[no-any-return]

    def patience(self) -> float | None:
        said = (self.native.extensions.get("timeout") or {}).get("read")
        return said if is_number(said) else None

    def location(self) -> tuple[str, str]:
        """Scheme, host and port, and the path as it will be sent."""
        url = self.native.url
        return f"{url.scheme}://{url.netloc.decode('ascii')}", url.raw_path.partition(b"?")[0].decode("ascii")

    def query(self) -> bytes:
        return self.native.url.query  # type: ignore[no-any-return]

    def userinfo(self) -> bytes:
        return self.native.url.userinfo  # type: ignore[no-any-return]

    def secrets(self) -> tuple[str, ...]:
        """The credentials in headers and URL, each also without its scheme."""
        if self._secrets is None:
            found: dict[str, None] = {}
            for name, value in self.native.headers.items():
                if _SECRET_HEADERS.search(name):
                    found[value] = None
                    for scheme in _SCHEMES:
                        if value.lower().startswith(scheme):
                            found[value[len(scheme) :]] = None
            url = self.native.url
            if url.query:
                found.update({value: None for name, value in url.params.multi_items() if _SECRET_QUERY.search(name)})
            if url.userinfo:
                found.update(dict.fromkeys((url.username, url.password)))
            self._secrets = tuple(value for value in found if value)
        return self._secrets

    def forget(self) -> None:
        self.native = None

    def rebuilt(self, body: bytes | None, accept_encoding: str | None) -> Any:
        """The same request with another body, or with other codings accepted."""
        native = self.native
        headers = native.headers.copy()
        if accept_encoding is not None:
            headers["accept-encoding"] = accept_encoding
        if body is None:
            content: dict[str, Any] = {"stream": native.stream}
        else:
            content = {"content": body}
            headers["content-length"] = str(len(body))
        return self.module.Request(native.method, native.url, headers=headers, extensions=native.extensions, **content)


_JSON: Final = ("application/json", "text/json")
