"""What one small Cassandra node is started with: for development and tests, three of them on one machine.

A node of Cassandra's is a data center here. Its Java gets 192 MB of heap and 64 MB beside it; all of it takes 500 MB.
"""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

CLUSTER = "twinhold"
CQL_PORT = 9042
HEAP = ("-Xms192m", "-Xmx192m", "-Xss256k", "-XX:MaxDirectMemorySize=128m")
_JVM = (
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",  # it would stay behind in /tmp when the process is killed
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-Djdk.attach.allowAttachSelf=true",
    "-Dio.netty.eventLoopThreads=2",
    "-Djava.net.preferIPv4Stack=true",
)
_CASSANDRA = (
    "-Dcassandra.ring_delay_ms=500",
    "-Dcassandra.skip_wait_for_gossip_to_settle=0",
    "-Dcassandra.superuser_setup_delay_ms=0",
    "-Dcassandra.shadow_round_ms=1000",
    "-Dcassandra.max_local_pause_in_ms=20000",  # one that was frozen is not to take everybody else for dead
    "-Dcassandra.available_processors=2",
)
_EXPORTS = """
java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch java.base/java.lang.ref
java.base/jdk.internal.util java.base/java.util.concurrent java.base/java.math
java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/java.rmi.registry java.rmi/sun.rmi.registry
java.rmi/sun.rmi.server java.rmi/sun.rmi.transport java.rmi/sun.rmi.transport.tcp jdk.unsupported/sun.misc
jdk.naming.dns/com.sun.jndi.dns jdk.compiler/com.sun.tools.javac.file jdk.compiler/com.sun.tools.javac.api
jdk.compiler/com.sun.tools.javac.tree jdk.compiler/com.sun.tools.javac.util java.management/sun.management
jdk.attach/sun.tools.attach
""".split()
_OPENS = """
java.base/sun.nio.ch java.base/java.io java.base/java.lang java.base/java.lang.module java.base/java.lang.reflect
java.base/java.util java.base/java.net java.base/java.nio java.base/java.util.concurrent java.base/java.math
java.base/java.util.concurrent.atomic java.base/java.security java.base/javax.crypto java.base/jdk.internal.loader
java.base/jdk.internal.ref java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module
java.base/jdk.internal.util java.base/jdk.internal.util.jar java.base/jdk.internal.misc java.management/sun.management
jdk.management/com.sun.management.internal jdk.management.agent/jdk.internal.agent java.rmi/sun.rmi.transport.tcp
""".split()
LOGBACK = """<configuration>
<appender name="O" class="ch.qos.logback.core.ConsoleAppender">
<encoder><pattern>%d{HH:mm:ss.SSS} %-5level %logger{20} %msg%n</pattern></encoder>
</appender>
<root level="INFO"><appender-ref ref="O"/></root>
</configuration>
"""


def cassandra_yaml(
    *, host: str, advertised: str, seeds: Sequence[str], token: int, folder: PurePath, with_passwords: bool
) -> str:
    """Write a node's own settings.

    Args:
        host: where it listens, to clients and to other nodes.
        advertised: where clients are told to find it.
        seeds: whom it asks for the others; all nodes, so that they can start at the same time.
        token: its place on the ring; another one for each node.
        folder: for all that it keeps.
        with_passwords: clients log in; the first user is cassandra, with the same word as password.
    """
    authenticator = "PasswordAuthenticator" if with_passwords else "AllowAllAuthenticator"
    return f"""cluster_name: {CLUSTER}
num_tokens: 1
initial_token: "{token}"
partitioner: org.apache.cassandra.dht.Murmur3Partitioner
endpoint_snitch: GossipingPropertyFileSnitch
dynamic_snitch: false
auto_bootstrap: false
authenticator: {authenticator}
listen_address: {host}
rpc_address: {host}
broadcast_rpc_address: {advertised}
native_transport_port: {CQL_PORT}
storage_port: 7000
start_native_transport: true
seed_provider:
  - class_name: org.apache.cassandra.locator.SimpleSeedProvider
    parameters: [{{seeds: "{",".join(seeds)}"}}]
paxos_variant: v2
commitlog_sync: batch
commitlog_directory: {folder}/commitlog
hints_directory: {folder}/hints
saved_caches_directory: {folder}/caches
cdc_raw_directory: {folder}/cdc
data_file_directories: [{folder}/data]
commitlog_segment_size: 4MiB
commitlog_total_space: 64MiB
memtable_heap_space: 32MiB
memtable_offheap_space: 32MiB
networking_cache_size: 8MiB
file_cache_size: 16MiB
key_cache_size: 1MiB
counter_cache_size: 1MiB
concurrent_reads: 8
concurrent_writes: 8
concurrent_counter_writes: 2
concurrent_compactors: 1
auto_snapshot: false
read_request_timeout: 1500ms
write_request_timeout: 1500ms
cas_contention_timeout: 1000ms
request_timeout: 2000ms
"""


def rackdc_properties(dc: str) -> str:
    """Write in which data center a node stands."""
    return f"dc={dc}\nrack=r1\n"


def java_arguments(*, jars: Sequence[PurePath], configuration: PurePath, folder: PurePath) -> Sequence[str]:
    """Write the command that a node is started with.

    Args:
        jars: the server and all that it needs.
        configuration: the folder of its settings.
        folder: for all that it keeps.
    """
    agents = [f"-javaagent:{jar}" for jar in jars if jar.name.startswith("jamm-")]
    places = {
        "cassandra.config": f"file://{configuration}/cassandra.yaml",
        "cassandra.storagedir": f"{folder}",
        "java.io.tmpdir": f"{folder}",
    }
    return [
        "java",
        *HEAP,
        *_JVM,
        *agents,
        *_CASSANDRA,
        *_properties(places),
        *(f"--add-exports={name}=ALL-UNNAMED" for name in _EXPORTS),
        *(f"--add-opens={name}=ALL-UNNAMED" for name in _OPENS),
        "-cp",
        ":".join([str(configuration), *(str(jar) for jar in jars)]),
        "org.apache.cassandra.service.CassandraDaemon",
    ]


def _properties(values: Mapping[str, str]) -> Sequence[str]:
    return [f"-D{name}={value}" for name, value in values.items()]
