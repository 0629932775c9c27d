"""The process that forwards the frames of all buses to a hub: NATS JetStream. Started by the supervisor.

__main__      the process                      gathering      when the buses are read
forwarder     the parts put together           feed_streams   sockets from the workers
publisher     connections to the hub           feed_cut       whole packets in their streams
answers       publishes and their answers      entry          a batch, as a value and on the disk
outbox        order of sending                 disk_spool     segment files
kept_batches  for a hub that loses some        resume         where to go on, by the hub's last message
window        publishes in flight              accounts       frames of each bus: lag, losses
"""
