"""Work that runs ahead of whoever consumes it: in threads, in order, with bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")


def map_ahead(
    function: Callable[[Item], Answer],
    items: Iterable[Item],
    *,
    workers: int,
    initialise: Callable[[], object] | None = None,
) -> Iterator[tuple[Item, Answer]]:
    """Each item with its answer, in the order of `items`; the first error of `function` ends it.

    At most twice as many answers as workers are held at a time, so a slow consumer costs no memory.
    `initialise` is called once in each thread.
    """
    pending: deque[tuple[Item, Future[Answer]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="ahead", initializer=initialise) as pool:
        try:
            for item in items:
                pending.append((item, pool.submit(function, item)))
                if len(pending) >= 2 * workers:
                    done, future = pending.popleft()
                    yield done, future.result()
            while pending:
                done, future = pending.popleft()
                yield done, future.result()
        finally:
            for _, future in pending:
                future.cancel()
