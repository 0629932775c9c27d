"""The control API of the supervisor, HTTP on a Unix socket: protocol, server and client."""
