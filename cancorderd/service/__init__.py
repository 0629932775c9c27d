"""Integration with a service manager: notifications, inherited and stored sockets, the log."""
