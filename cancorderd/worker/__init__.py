"""Worker of a bus: reads the adapter, serves the TCP clients. A process of its own, started by the supervisor."""
