"""A stand-in for IBM's quantum service on loopback addresses, for the unmodified qiskit-ibm-runtime client.

It speaks the service's REST API over TLS, runs submitted PUBs for real on a local simulator, and can break down in
every way that the tests need.
"""

from loopback.faults import Fault, cut_json, hang, reset_after, reset_before, respond, truncate
from loopback.network import Network
from loopback.server import Server
from loopback.service import API_KEY, INSTANCE, Service

__all__ = [
    "API_KEY",
    "INSTANCE",
    "Fault",
    "Network",
    "Server",
    "Service",
    "cut_json",
    "hang",
    "reset_after",
    "reset_before",
    "respond",
    "truncate",
]
