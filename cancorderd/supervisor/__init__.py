"""Everything that outlives a worker: a bus's life, its port, its clients in between, its record."""
