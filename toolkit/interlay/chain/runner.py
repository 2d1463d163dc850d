"""Background work on one thread, with a bounded queue, safe across fork and at exit."""

from __future__ import annotations

import atexit
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Final

from interlay.chain.forks import in_children

logger = logging.getLogger("interlay.runner")

QUEUE_ITEMS: Final = 10_000
BESIDE: Final = 16
"""How much may be under way at once that takes longer than the runner's one thread has time for."""
_DRAIN_SECONDS: Final = 2.0

Work = Callable[[], None]


class Runner:
    """Runs plain functions one after another on a daemon thread that is started by the first call.

    ``submit`` refuses when the queue is full, and counts it. ``put`` is for finalisers: it takes no lock of ours
    and never refuses, since what it is given (a stream that was dropped) exists anyway and is bounded by that.
    """

    def __init__(self, limit: int = QUEUE_ITEMS) -> None:
        self._limit = limit
        self.dropped = 0
        """Work that found the queue full."""
        self.farewells: list[Work] = []
        """Done by ``close``, and so when the process ends, before what is queued is drained."""
        self._reset()
        # A forked child inherits the queue but not the thread: what is queued is the parent's to do.
        in_children(self._reset)

    def _reset(self) -> None:
        # Looked up at use: under gevent's monkey patching these are gevent's own.
        self._queue: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None
        self.is_running = False
        """Whether the thread was started, and not yet ended."""
        self._closed = False
        self._beside = threading.BoundedSemaphore(BESIDE)
        self._threads: set[threading.Thread] = set()

    def ensure(self) -> None:
        """Start the thread if it is not there. Not for finalisers: starting a thread takes locks."""
        if self._thread is None and not self._closed:
            with self._starting:
                if self._thread is None:
                    thread = threading.Thread(target=self._loop, args=(self._queue,), name="interlay", daemon=True)
                    thread.start()
                    self._thread = thread
                    self.is_running = True
                    atexit.register(self.close)

    def submit(self, work: Work) -> bool:
        """Queue ``work``. Returns False, and counts, when the queue is full."""
        if self._queue.qsize() >= self._limit:
            self.dropped += 1
            return False
        self.ensure()
        self._queue.put(work)
        return True

    def put(self, work: Work) -> None:
        """Queue ``work`` from a finaliser. ``SimpleQueue.put`` is reentrant; nothing else happens here. After ``close``
        it is let go, and what it holds with it: the process ends."""
        if not self._closed:
            self._queue.put(work)

    def enter_beside(self) -> bool:
        """Whether one more piece of work may be under way beside the runner; it is told to ``leave_beside``."""
        return not self._closed and self._beside.acquire(blocking=False)

    def leave_beside(self) -> None:
        """A piece of work that was under way beside the runner is done."""
        # In a child that was forked meanwhile it never began.
        with contextlib.suppress(ValueError):
            self._beside.release()

    def beside(self, work: Work) -> bool:
        """Do ``work``, which may take long, on a thread of its own. False when too much is under way."""
        if not self.enter_beside():
            return False

        threads = self._threads

        def body() -> None:
            try:
                work()
            except Exception:
                logger.exception("background work failed")
            finally:
                self.leave_beside()
                threads.discard(threading.current_thread())

        thread = threading.Thread(target=body, name="interlay-background", daemon=True)
        threads.add(thread)
        thread.start()
        return True

    def pending(self) -> int:
        """Work that is queued and not yet begun."""
        return self._queue.qsize()

    def drain(self, timeout: float = _DRAIN_SECONDS) -> bool:
        """Wait until what is queued now is done, and what is under way on threads beside this one; at most ``timeout``
        seconds. Returns whether it is."""
        until = time.monotonic() + timeout
        for thread in self._threads - {threading.current_thread()}:
            thread.join(max(until - time.monotonic(), 0.0))
            if thread.is_alive():
                return False
        timeout = max(until - time.monotonic(), 0.0)
        if self._thread is None or self._thread is threading.current_thread():
            return self._queue.empty()
        done = threading.Event()
        self._queue.put(done.set)
        return done.wait(timeout)

    def close(self) -> None:
        """Drain, then end the thread. Later work is not run."""
        atexit.unregister(self.close)
        thread, self._closed = self._thread, True
        if thread is None:
            return
        for work in self.farewells:
            work()
        self.drain()
        self._queue.put(None)
        thread.join(_DRAIN_SECONDS)
        self._thread, self.is_running = None, False

    @staticmethod
    def _loop(work_queue: queue.SimpleQueue[Work | None]) -> None:
        reported = 0.0
        while (work := work_queue.get()) is not None:
            try:
                work()
            except Exception:
                # One line a minute: a broken observer would otherwise write one for each call.
                if time.monotonic() - reported > 60:
                    reported = time.monotonic()
                    logger.exception("background work failed")
            del work
