"""Recorder of a bus: writes its frames to files. A process of its own, started and fed by the bus's worker."""
