"""A gateway daemon: every frame of many CAN buses, to every analyzer that connects.

One supervisor process (`daemon`, `supervisor/`) reads a TOML file (`config/`) and starts one worker
process per bus (`worker/`). A worker reads its adapter (`sources/`) and streams whole packets of the
ECUconnect Logger protocol (`wire`) to its TCP clients. `control/` is the supervisor's HTTP interface
on a Unix socket, `cli/` holds the commands. Where to look:

=====================  =========================================================================
what a frame is        `frame` (values), `wire` (bytes)
what can go wrong      `errors` (classes of failure and the worker's exit statuses)
the frame path         `sources/` decode to batches, `worker/fanout` decides, `worker/server` sends
recording              `worker/recording` feeds, `recorder/` (a process of its own) writes the files
a bus's life           `supervisor/machine` decides, `supervisor/process` acts
reading our ports      `client/` (connect, receive, discover), and for python-can `client/python_can`
supervisor and worker  `link` (messages and sockets between them), `report` (what a worker tells)
which adapters         `detect/` (for `cancorderctl detect` and for buses that search)
the configuration      `config/model` (keys), `config/load` (files, line numbers, mistakes)
=====================  =========================================================================
"""

__version__ = "0.1.0"
