"""One bus's frames into files: a process of its own, started and fed by the bus's worker."""
