"""Which CAN adapters this machine has, for `cancorderctl detect` and for buses with `interface = "auto"`.

`found` says what was found in words, as a table and as TOML (pure); one module per kind of adapter
looks for it; `look` asks them all; `drop_in` writes the file. Nothing here opens a CAN bus, and
nothing writes to a device unless it is told to (`probe`).
"""
