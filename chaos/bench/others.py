"""What others reach on a like machine, printed beside our figures: two cores, loopback, November 2026.

200-byte values, 64 connections, 15 s, acknowledged only when synced on at least two members, all members and the
client on one machine.
"""

WRITES = """\
others, 64 connections              writes/s        p50 / p99 ms   server CPU us per write
  etcd 3.4, 3 members               7,100-7,700     8 / 20-24      173-183
  NATS JetStream 2.15, R3           11,800          5 / 14         108
  PostgreSQL 15 sync standby        16,400          3.3 / 7.3      96
  Redis 7, fsync always, WAIT 1     24,300          2.5 / 5.7      36
  ZooKeeper 3.8                     9,400           5.3 / 33       166
"""
FAILOVER = """\
others                              killed -> writable, median / max    frozen           planned, longest gap
  etcd 3.4, 3 members               1.30 / 2.43 s (fast 0.12 / 0.16)    1.3 s (0.12)     13-18 ms
  NATS JetStream 2.15, R3           4.3 / 5.6 s                         5.8 s            64 ms
  PostgreSQL 15, Patroni            24.7-28.7 s (ttl 20: 18.8 s)        24.6-31.7 s      3.3-4.3 s
  Redis 7, Sentinel                 31 s (down-after 500 ms: 1.76 s)    2.1 s            0.11 s, lost some writes
  ZooKeeper 3.8                     1.1 s                               11 s             -
"""
