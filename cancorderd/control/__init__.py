"""The supervisor's HTTP interface on a Unix socket: who may do what, the server, the client."""
