"""A new user's first minute: a copy of the repository, ``make run``, the printed curl, and its row in the admin."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

from tests.live import LIMIT, environment, free_port, get, wait_until
from tests.recordings import REPOSITORY

INSTALL_SECONDS = 600.0
START_SECONDS = 60.0


def clone(folder: Path) -> Path:
    """What git would give: the tracked files and the new ones, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        source, target = REPOSITORY / name, folder / name
        if source.is_file():  # one that is deleted and not yet committed is still listed
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


class Made:
    """``make run`` in ``folder``, stopped by the signal that a terminal's closing or a service manager sends to make."""

    def __init__(self, folder: Path, port: int) -> None:
        env = environment(folder / "data", {"SERVER_PORT": str(port), "PRINT_SECRETS": "1"})
        del env["GATEWAY_DATA_DIR"]
        env = {
            name: value
            for name, value in env.items()
            if not name.startswith(("ARGS", "MAKE", "MFLAGS", "VIRTUAL_ENV", "GATEWAY_ENV_FILE"))
        }
        self.output = folder / "output.txt"
        with self.output.open("wb") as file:
            self.process = subprocess.Popen(
                ["make", "run"], cwd=folder, env=env, stdout=file, stderr=file, process_group=0
            )
        self.port = port

    def ready(self) -> bool:
        assert self.process.poll() is None, self.text
        try:
            return get(self.port, "/ready")[0] == 200
        except OSError:
            return False

    @property
    def text(self) -> str:
        return self.output.read_text(errors="replace")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(LIMIT)

    def kill(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def admin_page(port: int, user: str, password: str, path: str) -> str:
    """``path`` as an operator's browser would get it."""
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar := CookieJar()))
    login = f"http://127.0.0.1:{port}/admin/login/?next={path}"
    opener.open(login, timeout=LIMIT).read()
    token = next(cookie.value for cookie in jar if cookie.name == "csrftoken")
    form = urllib.parse.urlencode({"username": user, "password": password, "csrfmiddlewaretoken": token or ""}).encode()
    reply = opener.open(urllib.request.Request(login, form, {"Referer": login}), timeout=LIMIT)
    assert urllib.parse.urlsplit(reply.url).path == urllib.parse.urlsplit(path).path
    return str(reply.read().decode())


def test_the_first_minute(tmp_path: Path) -> None:
    folder, port = clone(tmp_path / "clone"), free_port()
    first = Made(folder, port)
    try:
        wait_until(first.ready, "make run serves", INSTALL_SECONDS)
        told = dict(re.findall(r"^(User|Password|API key) +(\S+)$", first.text, re.MULTILINE))
        assert f"http://127.0.0.1:{port}/admin/" in first.text
        curl = next(line for line in first.text.splitlines() if line.startswith("curl "))
        answer = subprocess.run(
            ["sh", "-c", f"{curl} -s"], capture_output=True, text=True, timeout=LIMIT, check=True
        ).stdout
        assert answer.count("data: {") > 3
        assert answer.rstrip().endswith("data: [DONE]")
        page = wait_until(
            lambda: (
                found
                if "demo" in (found := admin_page(port, told["User"], told["Password"], "/admin/tenants/usage/"))
                else ""
            ),
            "the row in the admin",
        )
        assert "200" in page
    finally:
        first.stop()
        first.kill()
    assert (folder / "data").stat().st_mode & 0o777 == 0o700

    began = time.monotonic()
    second = Made(folder, port)
    try:
        wait_until(second.ready, "make run serves again")
        took = time.monotonic() - began
        assert "Password" not in second.text
        assert (
            subprocess.run(
                ["sh", "-c", f"{curl} -s -o /dev/null -w '%{{http_code}}'"],
                capture_output=True,
                text=True,
                timeout=LIMIT,
                check=True,
            ).stdout
            == "200"
        )
    finally:
        second.stop()
        second.kill()
    assert took < START_SECONDS
