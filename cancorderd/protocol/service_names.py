"""Names under which Zeroconf announces and finds ECUconnect Loggers. Pure."""

from __future__ import annotations

SERVICE_TYPE = "_ecuconnect-log._tcp.local."
"""DNS-SD service type of every ECUconnect Logger."""
SERVICE_PREFIX = "ECUconnect-Logger"
"""Required beginning of an instance name."""
