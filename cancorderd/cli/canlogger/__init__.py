"""The three one-bus commands: one bus in the foreground, without a configuration file."""
