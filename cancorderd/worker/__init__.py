"""One bus: adapter in, TCP clients out. A process of its own, started by the supervisor or by hand."""
