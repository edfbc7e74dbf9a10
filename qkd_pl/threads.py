"""One thread for small matrices.

Where products are small, a second BLAS thread costs more than it saves, and on a busy machine waits for its turn while
the first one waits for it: single steps then take hundreds of times as long as others.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

_lock, _nested = Lock(), 0
_limited: list[tuple[Any, int]] = []


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread; the first of several threads of this process sets the limit, the last one lifts it."""
    global _nested
    with _lock:
        _nested += 1
        if _nested == 1:
            _limited[:] = [(library, n) for library in _blas() if (n := library.get_num_threads()) != 1]
            for library, _ in _limited:
                library.set_num_threads(1)
    try:
        yield
    finally:
        with _lock:
            _nested -= 1
            if _nested == 0:
                for library, n_threads in _limited:
                    library.set_num_threads(n_threads)


@cache
def _blas() -> list[Any]:
    """The BLAS libraries that are loaded; asking them directly takes a tenth of the time of ``threadpool_limits``."""
    return ThreadpoolController().select(user_api="blas").lib_controllers
