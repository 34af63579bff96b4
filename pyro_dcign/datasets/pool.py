"""Rendering by one process or by many: blocks come in the order of their chunks either way."""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import connection, get_context, parent_process
from typing import Any

import torch

from pyro_dcign.datasets.minibatch import Block
from pyro_dcign.errors import InputError
from pyro_dcign.scenes import Scene

Chunk = tuple[str, str, tuple[int, ...]]
"""Split, type and numbers of the minibatches of one call of the renderer."""

Blocks = Generator[Block, None, None]


def cores() -> int:
    """Cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def alone(work: Callable[..., Block], scene: Scene, chunks: list[Chunk]) -> Blocks:
    """Blocks in the order of the chunks, rendered by this process."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as in a worker: the order of additions is part of the bytes
    try:
        for chunk in chunks:
            yield work(scene, chunk)
    finally:
        torch.set_num_threads(threads)


def together(
    work: Callable[..., Block], load: Callable[[], Scene], chunks: list[Chunk], workers: int
) -> Blocks:
    """Blocks in the order of the chunks, rendered by worker processes with few in flight.

    Raises:
        InputError: A worker was killed.
    """
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(load, work)
    )
    flying: deque[Future[tuple[Any, ...]]] = deque()
    try:
        waiting = iter(chunks)
        for _ in range(3 * workers):
            flying.extend(pool.submit(_worker, chunk) for chunk in _take(waiting))
        begun = False
        while flying:
            arrays = flying.popleft().result()
            begun = True
            flying.extend(pool.submit(_worker, chunk) for chunk in _take(waiting))
            yield Block(*(torch.from_numpy(array) for array in arrays))
    except BrokenProcessPool:
        if not begun:
            raise InputError(
                "expected workers to begin, found them ended at once; in a script of your own, "
                'call this under if __name__ == "__main__":, or with one worker'
            ) from None
        raise InputError(
            "expected every worker to live, found one killed, perhaps for want of memory; "
            "run the same command again with fewer --workers, finished shards are kept"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _take(waiting: Iterator[Chunk]) -> Iterator[Chunk]:
    """The next chunk, if there is one."""
    for chunk in waiting:
        yield chunk
        return


_scene: Scene
_work: Callable[..., Block]


def _begin(load: Callable[[], Scene], work: Callable[..., Block]) -> None:
    """Set up a worker: one thread, deaf to Ctrl-C, gone when its parent is gone."""
    global _scene, _work
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, daemon=True).start()
    torch.set_num_threads(1)
    _scene, _work = load(), work


def _watch() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


def _worker(chunk: Chunk) -> tuple[Any, ...]:
    return tuple(part.numpy() for part in _work(_scene, chunk))
