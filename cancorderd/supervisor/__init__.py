"""Everything that outlives a worker: a bus's state, its port and Zeroconf record, its clients between two workers."""
