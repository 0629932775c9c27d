"""The ECUconnect Logger protocol: packets, frames, limits, service names and socket options."""
