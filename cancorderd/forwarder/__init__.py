"""The process that forwards the frames of all buses to a hub: NATS JetStream. Started by the supervisor.

__main__      the process                      feed_streams   sockets from the workers
forwarder     the parts put together           feed_cut       whole packets in their streams
publisher     connections to the hub           entry          a batch, as a value and on the disk
outbox        order of sending, what is kept   disk_spool     segment files
window        publishes in flight              resume         where to go on, by the hub's last message
accounts      frames of each bus: lag, losses
"""
