"""Under a service manager: what it is told, the sockets that it keeps, and the log."""
