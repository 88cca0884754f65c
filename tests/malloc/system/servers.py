"""Servers, with clients beside them: redis with BGSAVE, PostgreSQL with pgbench."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable

from tests.malloc.system.session import ProgramError, Session, program, search_path


def _wait_for(ready: Callable[[], bool], what: str) -> None:
    for _ in range(600):
        if ready():
            return
        time.sleep(0.05)
    raise ProgramError(f"{what} did not come about in 30 seconds")


@program("redis-server", "redis-cli", "redis-benchmark", packages="redis-server")
def redis(session: Session) -> str:
    """200,000 requests of 50 clients while a forked child saves, then a restart from the file."""
    server = ["redis-server", "--port", "0", "--unixsocket", "s", "--save", ""]
    client = ["redis-cli", "-s", "s"]

    def up() -> bool:
        try:
            return (session.folder / "s").exists() and session.run([*client, "ping"]) == "PONG\n"
        except ProgramError:
            return False

    def saved() -> bool:
        return "rdb_bgsave_in_progress:0" in session.run([*client, "info", "persistence"])

    script = "for i=1,50000 do redis.call('set','key'..i,string.rep('x',i%300)) end"
    with session.server(server):
        _wait_for(up, "redis")
        session.run([*client, "eval", script, "0"])
        session.run([*client, "bgsave"])
        load = ["redis-benchmark", "-s", "s", "-n", "40000", "-r", "1000", "-q"]
        session.run([*load, "-t", "set,get,lpush,hset,zadd"])
        _wait_for(saved, "the save")
        session.run([*client, "flushall"])
        session.run([*client, "eval", script, "0"])
        session.run([*client, "save"])
        session.run([*client, "shutdown", "nosave"], errors=True)
    with session.server(server):
        _wait_for(up, "redis, again")
        size = session.run([*client, "dbsize"])
        lengths = session.run([*client, "strlen", "key299"])
        session.run([*client, "shutdown", "nosave"], errors=True)
    return f"{size}{lengths}"


@program("initdb", "postgres", "pgbench", "psql", packages="postgresql")
def postgresql(session: Session) -> str:
    """initdb, pgbench with four clients, a sort and a hash join over 200,000 rows, a clean stop."""
    path = search_path()
    session.environment = {**session.environment, "PATH": path}
    if os.geteuid() == 0:  # the server refuses to run as root
        session.user = "nobody"
        shutil.chown(session.folder, "nobody")
    where = ["-h", str(session.folder), "-U", "one"]
    session.run(["initdb", "-D", "data", "-U", "one", "-A", "trust", "--no-sync"])
    settings = ["-c", "listen_addresses=", "-c", "fsync=off", "-k", str(session.folder)]
    with session.server(["postgres", "-D", "data", *settings]) as server:

        def up() -> bool:
            try:
                return "accepting" in session.run(["pg_isready", *where])
            except ProgramError:
                return False

        _wait_for(up, "postgres")
        session.run(["createdb", *where, "bench"])
        session.run(["pgbench", *where, "-i", "-s", "2", "-q", "bench"])
        report = session.run(["pgbench", *where, "-c", "4", "-j", "2", "-t", "1000", "bench"])
        query = (
            "set work_mem = '64MB'; select count(*), sum(length(md5(a.aid::text))) from"
            " pgbench_accounts a join pgbench_accounts b on a.aid = b.aid where b.bid < 3"
        )
        joined = session.run(["psql", *where, "-At", "-c", query, "bench"])
        data = session.folder / "data" / "postmaster.pid"
        os.kill(int(data.read_text(encoding="utf-8").split()[0]), 2)  # the fast stop
        server.wait(60)
    done = re.search(r"actually processed: (\S+)", report)
    return f"{done[1] if done else report}\n{joined}"
