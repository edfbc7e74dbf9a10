"""Sweeps on an existing Dask cluster, through joblib's backend for it."""

from collections.abc import Iterator
from contextlib import contextmanager

from joblib import parallel_config

from qkd_pl.errors import ClusterError

_CONNECT_SECONDS = 10


@contextmanager
def dask_cluster(address: str | None) -> Iterator[None]:
    """Run the sweeps within on the cluster whose scheduler has this address; with None, in local processes.

    The units of a sweep write their results themselves, so that the cluster's machines need a file system in common
    and, as they resolve devices by name, the same ``devices.yaml``. A unit whose worker dies is given to another one.

    Raises:
        ClusterError: Dask is not installed, or the scheduler does not answer.
    """
    if address is None:
        yield
        return
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError("Dask is not installed; install it by: pip install 'qkd-pl[dask]'") from error
    try:
        client = Client(address, timeout=_CONNECT_SECONDS)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(f"no Dask scheduler answers at {address}: {error}") from error
    with client, parallel_config(backend="dask"):
        yield
