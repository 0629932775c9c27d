"""A gateway daemon that streams every frame of many CAN buses to every analyzer that connects.

A supervisor process reads a TOML file and starts one worker process per bus. A worker reads its adapter and
sends whole packets of the ECUconnect Logger protocol to its TCP clients. README.md in this folder describes the
architecture. The packages, in the order of the frames and then of the rest:

==============  ================================================================================
`adapters/`     a folder or file per interface: settings, source, decoder, scan
`worker/`       the process of a bus: `loop` reads and reports, `backlog` decides which frames of
                a slow client are dropped, `client_server` sends, `recording_feed` feeds
`protocol/`     the wire format (`packets`), frames as values (`frame`), batches
`client/`       for programs that read our ports: connect, receive, discover; a python-can plug-in
`recorder/`     the process that writes recordings
`simulator/`    the tester and the ECU of the mock bus
`supervisor/`   states of the buses (`state_machine`), worker processes, ports, Zeroconf records
`ipc/`          messages between the supervisor and its processes (`messages`, `channel`)
`config/`       keys, files, line numbers, mistakes
`control/`      the control API: typed answers (`protocol`), server, client
`service/`      systemd and the log
`installation/` where the other files of the product are; the service made of an environment
`cli/`          the commands
`daemon`        the supervisor process, put together
==============  ================================================================================
"""

__version__ = "0.1.0"
