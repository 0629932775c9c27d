"""The page for browsers and the metrics: a process of its own, which reads the control socket as any program may."""
