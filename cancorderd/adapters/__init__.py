"""CAN adapters, a folder or a file for each interface; `registry` lists them, `base` is their contract."""
