"""Servers with passwords and TLS: one, a Sentinel group, and a cluster.

The usual server program of the tests was built without TLS, so each server has a TLS endpoint in front of it, and
REDIS_ADDRESS_MAP says so. GOPHER_TEST_TLS_SERVER is the path of a program that was built with TLS.
"""

import os
import shutil
import socket
import tempfile
from contextlib import ExitStack
from pathlib import Path

from redis import Redis, ResponseError

from gopher.server.embedded import EmbeddedServer, find_server
from tests.certificates import HERE, Authority
from tests.helpers import free_ports, wait_until
from tests.starting import start_process
from tests.tls_endpoint import TlsEndpoint
from tests.topologies.sentinel import MASTER, PATIENT_AFTER, client_of

USER = "gopher"
#: Of the servers, and of the sentinels. They have characters that a URL must encode.
PASSWORD, SENTINEL_PASSWORD = "of/servers?@", "of#sentinels:"
#: What docs/security.md permits, and docs/deployment.md of sentinels.
ACL = f"SETUSER {USER} on >{PASSWORD} ~* &* +@all -@admin -@dangerous +info +config|get +client|setname"
SENTINEL_ACL = f"user {USER} on >{SENTINEL_PASSWORD} allchannels -@all +auth +sentinel +subscribe"
#: The user of sentinels and replicas.
_OPERATOR = "operator"
_WITH_TLS = os.environ.get("GOPHER_TEST_TLS_SERVER")
NODES = 3


class Site:
    """Starts servers with certificates of one authority. Each method returns settings. A context manager."""

    def __init__(self, *, encrypted: bool = True) -> None:
        self._stack = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="gopher-site-"))
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self._encrypted = encrypted
        self._native = encrypted and _WITH_TLS is not None
        self.authority = Authority(self.folder / "ca")
        self.certificate = self.authority.sign("server", *HERE)
        self.client_certificate = self.authority.sign("client")
        self._map: list[str] = []
        #: Clients of the servers, without TLS and password.
        self.nodes: list[Redis] = []

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *exc: object) -> None:
        for node in self.nodes:
            node.close()
        self._stack.close()

    def single(self) -> dict[str, str]:
        """Start one server."""
        _, port = self._server()
        return self._settings(f"localhost:{port}/3")

    def socket(self) -> dict[str, str]:
        """Start one server, and use its unix socket."""
        self._server()
        path = self._servers[-1].socket_path
        return {"REDIS_URL": f"unix://{path}?db=3", "REDIS_USERNAME": USER, "REDIS_PASSWORD": PASSWORD}

    def sentinel(self, *, replica: bool = False) -> dict[str, str]:
        """Start a master, which is known by its host's name, and a sentinel."""
        inside, outside = self._server()
        if replica:
            own, own_outside = self._server()
            self._tell(f"localhost:{own}", own_outside)
            self.nodes[1].replicaof("localhost", outside if self._native else inside)
            wait_until(lambda: self.nodes[1].role()[3] == b"connected", 60, "the replica to be in step")
        reached = self._sentinel(outside if self._native else inside)
        self._tell(f"localhost:{inside}", outside)
        settings = {"REDIS_SENTINEL_USERNAME": USER, "REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD}
        return {**self._settings(f"localhost:{reached}/{MASTER}/3", "+sentinel"), **settings}

    def cluster(self) -> dict[str, str]:
        """Start a cluster, whose nodes report host names; without TLS of their own, names that nothing resolves."""
        ports = [self._server(at, free_ports(1)[0]) for at in range(NODES)]
        buses = [int(node.config_get("cluster-port")["cluster-port"]) for node in self.nodes]
        for at, node in enumerate(self.nodes):
            node.execute_command("CLUSTER", "SET-CONFIG-EPOCH", at + 1)
            node.execute_command("CLUSTER", "ADDSLOTSRANGE", 16384 * at // NODES, 16384 * (at + 1) // NODES - 1)
            node.execute_command("CLUSTER", "MEET", "127.0.0.1", ports[0][self._native], buses[0])
        wait_until(lambda: all(self._knows_all(node) for node in self.nodes), 60, "the nodes to know each other")
        for at, (inside, outside) in enumerate(ports):
            self._tell(f"{self._name(at)}:{inside}", outside)
        return self._settings(",".join(f"localhost:{outside}" for _, outside in ports[:2]), "+cluster")

    def has_key(self, at: int, key: str) -> bool:
        """Return whether a node has a key in database 3."""
        port = self.nodes[at].connection_pool.connection_kwargs["port"]
        with Redis(port=port, db=3, username=_OPERATOR, password=PASSWORD, protocol=2) as client:
            return bool(client.exists(key))

    def fail_over(self) -> None:
        """Have the replica take over, as soon as the sentinel knows it."""
        with Redis(port=self._sentinel_port, username=USER, password=SENTINEL_PASSWORD, protocol=2) as sentinel:

            def begun() -> bool:
                try:
                    return bool(sentinel.execute_command("SENTINEL", "FAILOVER", MASTER))
                except ResponseError:
                    return False

            wait_until(begun, 60, "the sentinel to know the replica")

    def move_slot(self, slot: int) -> None:
        """Give an empty slot to the node after the one that has it."""
        names = [node.execute_command("CLUSTER", "MYID").decode() for node in self.nodes]
        owner = next(at for at, node in enumerate(self.nodes) if self._has(node, slot))
        after = (owner + 1) % NODES
        # Else what the owner has said before, and what comes later, would have it take the slot back.
        self.nodes[after].execute_command("CLUSTER", "BUMPEPOCH")
        for node in self.nodes:
            node.execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[after])
        wait_until(
            lambda: all(self._name_of(node, slot) == names[after] for node in self.nodes), 60, "the slot to move"
        )

    def _has(self, node: Redis, slot: int) -> bool:
        return self._name_of(node, slot) == node.execute_command("CLUSTER", "MYID").decode()

    def _name_of(self, node: Redis, slot: int) -> str:
        """Return the id of the node that has a slot, as this node says; "" if none has it."""
        for line in node.execute_command("CLUSTER", "NODES").decode().splitlines():
            name, *words = line.split()
            ranges = (each.partition("-")[::2] for each in words[7:])
            if any(int(first) <= slot <= int(last or first) for first, last in ranges):
                return name
        return ""

    def _knows_all(self, node: Redis) -> bool:
        info = node.execute_command("CLUSTER", "INFO").decode()
        return "cluster_state:ok" in info and f"cluster_known_nodes:{NODES}" in info and self._names_all(node)

    def _names_all(self, node: Redis) -> bool:
        # Names come with the nodes' later messages.
        return node.execute_command("CLUSTER", "NODES").decode().count(f",{self._name(0)[:4]}") == NODES

    def _name(self, at: int) -> str:
        return f"node{at}.test" if self._encrypted and not self._native else "localhost"

    def _server(self, at: int | None = None, bus: int = 0) -> tuple[int, int]:
        """Start a server; return its port without TLS, and the one for clients."""
        inside, outside = free_ports(2)
        options = {
            "masteruser": _OPERATOR,
            "masterauth": PASSWORD,
            "replica-announce-ip": "localhost",
            "repl-diskless-sync-delay": "0",
            **self._tls_options(outside),
            **({"tls-replication": "yes"} if self._native else {}),
        }
        if bus:
            cluster = {"enabled": "yes", "port": str(bus), "announce-hostname": self._name(at or 0)}
            cluster["preferred-endpoint-type"] = "hostname"
            if self._native:
                options["tls-cluster"] = "yes"
            options |= {f"cluster-{name}": value for name, value in cluster.items()}
        folder = self.folder / f"server-{inside}"
        server = EmbeddedServer(folder, port=inside, program=_WITH_TLS if self._native else None, options=options)
        self._servers = [*getattr(self, "_servers", []), self._stack.enter_context(server)]
        client = client_of(inside)
        client.execute_command("ACL", *ACL.split())
        client.execute_command("ACL", "SETUSER", _OPERATOR, "on", f">{PASSWORD}", "~*", "&*", "+@all")
        client.execute_command("ACL", "SETUSER", "default", "-@all", "+@admin", "+@connection", "+cluster", "+config")
        self.nodes.append(client)
        return inside, self._reached(inside, outside)

    def _reached(self, inside: int, outside: int) -> int:
        """Have a port reached with TLS; return the port for clients."""
        if not self._encrypted:
            return inside
        if not self._native:
            endpoint = TlsEndpoint(inside, self.certificate, clients=self.authority.path, port=outside)
            self._stack.enter_context(endpoint)
        return outside

    def _tls_options(self, port: int) -> dict[str, str]:
        if not self._native:
            return {}
        return {
            "tls-port": str(port),
            "tls-cert-file": str(self.certificate.path),
            "tls-key-file": str(self.certificate.key),
            "tls-ca-cert-file": str(self.authority.path),
        }

    def _tell(self, reported: str, port: int) -> None:
        if self._encrypted and not self._native:
            self._map.append(f"{reported}=localhost:{port}")

    def _sentinel(self, watched: int) -> int:
        """Start a sentinel; return its port for clients."""
        inside, outside = free_ports(2)
        folder = self.folder / f"sentinel-{inside}"
        folder.mkdir()
        lines = [
            f"port {inside}",
            f"dir {folder}",
            "sentinel resolve-hostnames yes",
            "sentinel announce-hostnames yes",
            f"sentinel monitor {MASTER} localhost {watched} 1",
            f"sentinel auth-user {MASTER} {_OPERATOR}",
            f"sentinel auth-pass {MASTER} {PASSWORD}",
            f"sentinel down-after-milliseconds {MASTER} {PATIENT_AFTER}",
            SENTINEL_ACL,
            "user default off",
            *(f"{name} {value}" for name, value in self._tls_options(outside).items()),
            *(["tls-replication yes"] if self._native else []),
        ]
        (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")
        program = Path(_WITH_TLS) if self._native and _WITH_TLS else find_server()
        process = start_process([program, folder / "sentinel.conf", "--sentinel"], folder / "log")
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        wait_until(lambda: _listens(inside), 60, "the sentinel to listen")
        self._sentinel_port = inside
        return self._reached(inside, outside)

    def _settings(self, place: str, kind: str = "") -> dict[str, str]:
        return {
            "REDIS_URL": f"{'rediss' if self._encrypted else 'redis'}{kind}://{place}",
            "REDIS_USERNAME": USER,
            "REDIS_PASSWORD": PASSWORD,
            **({"REDIS_ADDRESS_MAP": ",".join(self._map)} if self._map else {}),
            **(self.tls if self._encrypted else {}),
        }

    @property
    def tls(self) -> dict[str, str]:
        """The settings of TLS."""
        return {
            "REDIS_TLS_VERIFY": str(self.authority.path),
            "REDIS_TLS_CERT": str(self.client_certificate.path),
            "REDIS_TLS_KEY": str(self.client_certificate.key),
        }


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("localhost", port), 1.0).close()
    except OSError:
        return False
    return True
