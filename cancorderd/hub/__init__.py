"""The hub, a NATS server with JetStream: what forwarder, viewer and commands have in common about it."""
