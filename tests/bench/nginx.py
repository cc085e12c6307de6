"""The upstream of whole replies: nginx with one static reply, as fast as HTTP gets here.

It counts by its access log, one short line a request and one file per caller, because nginx's own status page
also counts itself. Where nginx is not installed `upstream.py` takes its place, behind the same three functions.
"""

import json
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Protocol

from tests.bench.servers import Server, call, free_port
from tests.bench.upstream import WHOLE

_CONFIG = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.error warn;
worker_processes 1;
events {{ worker_connections 4096; }}
http {{
    log_format one '1';
    access_log off;
    default_type application/json;
    keepalive_requests 100000000;
    keepalive_timeout 3600s;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location = /ready {{ return 200; }}
        location = /v1/chat/completions {{ return 200 '{reply}'; }}
        {callers}
    }}
}}
"""
_CALLER = """
        location = /{name}/v1/chat/completions {{
            access_log {folder}/count.{name} one buffer=16k flush=200ms;
            return 200 '{reply}';
        }}"""


class WholeUpstream(Protocol):
    title: str
    server: Server

    def base_url(self, caller: str) -> str: ...
    def count(self, caller: str) -> int: ...


class Nginx:
    """nginx in a folder of its own; `callers` are who will be counted."""

    title = "nginx"

    def __init__(self, folder: Path, core: int, callers: list[str]) -> None:
        self.folder, port = folder, free_port()
        reply = WHOLE.decode()
        places = "".join(_CALLER.format(name=name, folder=folder, reply=reply) for name in callers)
        config = folder / "nginx.conf"
        config.write_text(_CONFIG.format(folder=folder, port=port, callers=places, reply=reply))
        folder.chmod(0o755)  # started by root, its worker is another user
        binary = find() or "nginx"
        command = [binary, "-p", str(folder), "-e", str(folder / "nginx.error"), "-c", str(config)]
        self.server = Server.start("nginx", command, port, core, folder / "nginx.log", dict(os.environ))

    def base_url(self, caller: str) -> str:
        return f"http://127.0.0.1:{self.server.port}/{caller}/v1"

    def count(self, caller: str) -> int:
        time.sleep(0.5)  # longer than the log's flush
        return (self.folder / f"count.{caller}").stat().st_size // 2


class Own:
    """`upstream.py` as a process; serves whole replies and streams."""

    title = "own upstream"

    def __init__(self, folder: Path, core: int) -> None:
        port = free_port()
        command = [sys.executable, "-m", "tests.bench.upstream", str(port)]
        self.server = Server.start("upstream", command, port, core, folder / f"upstream-{port}.log", dict(os.environ))

    def base_url(self, caller: str) -> str:
        return f"http://127.0.0.1:{self.server.port}/{caller}/v1"

    def count(self, caller: str) -> int:
        return int(json.loads(call(self.server.port, "/count")[1]).get(caller, 0))

    def pace(self, milliseconds: float) -> None:
        call(self.server.port, f"/pace/{milliseconds}")


def find() -> str | None:
    # /usr/sbin is not on every user's path.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
