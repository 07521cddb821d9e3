"""Worker processes that read files: a hostile one hurts a process that is replaced, never the service.

They are programs of their own, started anew and not forked: the service has threads and a model. A file goes to one
over a pipe, its pieces come back as JSON, so that a worker that was taken over can say wrong things but do nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, Self, cast

import psutil

from contracts.errors import BodyTooLargeError, InvalidRequestError, OverloadedError
from observability import names
from observability.logging import log
from observability.metrics import Metrics
from rag.domain.extracted import Extracted, Piece
from rag.ingestion.confinement import Limits, memory_is_limited
from rag.ingestion.formats.kinds import format_of
from rag.ingestion.frames import ClosedError, read_frame, write_frame
from rag.ingestion.parsing import check_size

WORKERS = 2
"""One may be busy with a book while the other serves a note."""
WAITING = 64
"""Files that wait for a worker; beyond it a caller is told to come again."""
FILES_BEFORE_RENEWAL = 200
"""A worker is replaced after so many: what parsers leak is bounded."""
START_S = 60.0
LOOK_AT_MEMORY_S = 0.2

_SOURCES = Path(__file__).parents[2]
_logger = logging.getLogger("atrium.ingestion")


class WorkerLostError(Exception):
    """The worker ended, or was ended, before it had answered. `reason` is for whoever sent the file."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class WorkerProcess:
    """One process, one file at a time. Blocking: for a thread of the pool."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._folder = tempfile.mkdtemp(prefix="atrium-worker-")
        # `-P`: what lies in the folder is never imported. Of our environment only what Python needs: no secret.
        self._process = subprocess.Popen(  # noqa: S603  our own module, by absolute path
            [sys.executable, "-P", "-m", "rag.ingestion.worker_process", json.dumps(asdict(limits))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # a parser's complaints quote the file
            cwd=self._folder,
            env={"PYTHONPATH": str(_SOURCES), "PATH": os.defpath, "LC_ALL": "C.UTF-8", "TMPDIR": self._folder},
            start_new_session=True,
        )
        self._stdin = cast("IO[bytes]", self._process.stdin)
        self._stdout = cast("IO[bytes]", self._process.stdout)
        self._ended_for = ""
        self.files = 0
        try:
            with self._watched(START_S):
                read_frame(self._stdout, at_most=1_024)
        except (ClosedError, ValueError) as error:
            self.close()
            raise WorkerLostError("the parser did not start") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def parse(self, filename: str, content: bytes) -> dict[str, Any]:
        """What the worker says. Raises WorkerLostError, and the worker is then of no use any more."""
        self.files += 1
        try:
            with self._watched(self._limits.wall_s):
                write_frame(self._stdin, {"filename": filename}, content)
                answer, _ = read_frame(self._stdout, at_most=self._limits.answer_bytes)
        except ClosedError as error:
            raise WorkerLostError(self._ended_for or self._why()) from error
        except ValueError as error:
            raise WorkerLostError("the file's text is larger than it may be") from error
        return cast("dict[str, Any]", answer)

    def kill(self, reason: str) -> None:
        """From any thread: whoever waits for an answer gets WorkerLostError."""
        self._ended_for = self._ended_for or reason
        self._process.kill()

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        self._stdin.close()
        self._stdout.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def _watched(self, wall_s: float) -> Iterator[None]:
        """Ends the worker when its time is over, and where the kernel does not limit memory, when it takes too much."""
        done = threading.Event()
        watcher = threading.Thread(target=self._watch, args=(done, wall_s), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()

    def _watch(self, done: threading.Event, wall_s: float) -> None:
        if memory_is_limited():
            if not done.wait(wall_s):
                self.kill(f"the file took more than {wall_s:g} seconds to be read")
            return
        left = wall_s
        while not done.wait(LOOK_AT_MEMORY_S):
            left -= LOOK_AT_MEMORY_S
            if left <= 0:
                self.kill(f"the file took more than {wall_s:g} seconds to be read")
            elif resident(self.pid) > self._limits.memory_bytes:
                self.kill(f"the file needs more than {self._limits.memory_bytes} bytes of memory to be read")

    def _why(self) -> str:
        """Of a worker that ended by itself, or by the kernel's hand."""
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            code = 0
        if code == -24:  # SIGXCPU
            return f"the file took more than {self._limits.cpu_s} seconds of computing to be read"
        return "the file cannot be read: its parser broke down"


def resident(pid: int) -> int:
    """Bytes of memory that a process uses; none when it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


class _Errand:
    """One file on its way; who sent it may give it up, and then the worker at it ends, and no other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: WorkerProcess | None = None
        self.given_up = False

    def begin(self, worker: WorkerProcess) -> None:
        with self._lock:
            self._worker = worker
        if self.given_up:
            self.give_up()

    def give_up(self) -> None:
        with self._lock:
            self.given_up = True
            if self._worker is not None:
                self._worker.kill("nobody waits for it any more")

    def end(self) -> None:
        with self._lock:
            self._worker = None


class WorkerPool:
    """Warm workers behind a queue; one that is lost or worn is replaced by the next file that needs it."""

    def __init__(self, metrics: Metrics, limits: Limits, workers: int) -> None:
        self._metrics = metrics
        self._limits = limits
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="parser")
        self._idle: queue.SimpleQueue[WorkerProcess | None] = queue.SimpleQueue()
        self._busy: set[WorkerProcess] = set()
        self._waiting = 0
        self._closed = False
        for _ in range(workers):
            self._idle.put(None)

    @classmethod
    @asynccontextmanager
    async def running(
        cls, metrics: Metrics, *, limits: Limits | None = None, workers: int = WORKERS
    ) -> AsyncIterator[Self]:
        pool = cls(metrics, limits or Limits(), workers)
        pool._threads.submit(pool._warm)  # nobody waits for it
        try:
            yield pool
        finally:
            await asyncio.to_thread(pool.close)

    @property
    def pids(self) -> list[int]:
        """Of the workers at work."""
        return [worker.pid for worker in list(self._busy)]

    async def extract(self, filename: str, content: bytes) -> Extracted:
        """Raises InvalidRequestError or BodyTooLargeError with the reason for a file that is refused, OverloadedError
        when too many wait. Cancelled, it ends the worker that is at it."""
        check_size(content)
        format_of(filename)
        if self._waiting >= WAITING:
            raise OverloadedError("too many files wait to be read", retry_after_s=5)
        errand = _Errand()
        self._waiting += 1
        try:
            return await asyncio.wrap_future(self._threads.submit(self._run, filename, content, errand))
        except asyncio.CancelledError:
            errand.give_up()
            raise
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._closed = True
        for worker in list(self._busy):
            worker.kill("the service is being stopped")
        self._threads.shutdown(wait=True, cancel_futures=True)
        while not self._idle.empty():
            idle = self._idle.get()
            if idle is not None:
                idle.close()

    def _run(self, filename: str, content: bytes, errand: _Errand) -> Extracted:
        """In one of as many threads as there are workers: so one is free."""
        if self._closed:
            raise OverloadedError("the service is being stopped")
        worker = self._idle.get() or self._started()
        worn = False
        self._busy.add(worker)
        try:
            errand.begin(worker)
            answer = worker.parse(filename, content)
            worn = bool(answer.get("worn")) or worker.files >= FILES_BEFORE_RENEWAL
            return _read(answer)
        except WorkerLostError as error:
            worn = True
            if not errand.given_up:
                self._metrics.count(names.PARSER_LOST)
                log(_logger, logging.WARNING, "a parser was lost and is replaced", reason=error.reason)
            raise InvalidRequestError(error.reason) from error
        finally:
            errand.end()
            self._busy.discard(worker)
            if worn:
                worker.close()
            self._idle.put(None if worn else worker)

    def _started(self) -> WorkerProcess:
        try:
            return WorkerProcess(self._limits)
        except BaseException as error:
            self._idle.put(None)
            if isinstance(error, WorkerLostError | OSError):
                raise OverloadedError("no parser can be started now", retry_after_s=5) from error
            raise

    def _warm(self) -> None:
        if not self._closed:
            first = self._idle.get()
            self._idle.put(first or self._started())


def _read(answer: dict[str, Any]) -> Extracted:
    """What a worker says is checked as a stranger's word is. Raises InvalidRequestError, BodyTooLargeError."""
    if "error" in answer:
        raise (BodyTooLargeError if answer.get("too_large") else InvalidRequestError)(str(answer["error"])[:500])
    try:
        text = str(answer["text"])
        pieces = tuple(
            Piece(int(start), int(end), str(heading), str(lead)) for start, end, heading, lead in answer["pieces"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidRequestError("the file cannot be read: its parser broke down") from error
    if not pieces or any(not 0 <= piece.start < piece.end <= len(text) for piece in pieces):
        raise InvalidRequestError("the file has no text")
    return Extracted(text, pieces)
