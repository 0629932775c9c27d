"""Communication between the supervisor and its processes: the channel, its messages, exit statuses, back-off."""
