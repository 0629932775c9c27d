"""The installation that this process runs from: the files that belong to it, and the service made of it."""
