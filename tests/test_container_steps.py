"""The Dockerfile's steps, run as a script in a clean folder: an image is not built here, but what would be in it works.

COPY honours .dockerignore, so a file that the image lacks is missing here, too.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.live import LIMIT, environment, free_port, get, wait_until
from tests.recordings import REPOSITORY

Step = tuple[str, str]


def steps() -> list[list[Step]]:
    """Instructions of each stage, continuation lines joined."""
    text = re.sub(r"\\\n", " ", (REPOSITORY / "Dockerfile").read_text())
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    stages: list[list[Step]] = []
    for name, arguments in lines:
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, arguments))
    return stages


def context(folder: Path) -> Path:
    """What is sent to the builder: everything is ignored but the names that .dockerignore lets in."""
    rules = [
        line for line in (REPOSITORY / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")
    ]
    assert rules[0] == "*"
    for name in (rule[1:] for rule in rules if rule.startswith("!")):
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            shutil.copy(source, folder / name)
    return folder


def copy(arguments: str, sources: dict[str, Path], workdir: Path) -> None:
    *options, source, target = shlex.split(arguments)
    stage = next((option.removeprefix("--from=") for option in options), "")
    origin = sources[stage] / (Path(source).name if stage else source)
    if origin.is_dir():
        shutil.copytree(origin, workdir / target, symlinks=True)
    else:
        shutil.copy(origin, workdir / target)


def execute(stage: list[Step], sources: dict[str, Path], workdir: Path) -> dict[str, str]:
    """Run COPY and RUN in ``workdir``, which stands for WORKDIR; gather ENV. Users and their folders are the image's affair."""
    workdir.mkdir()
    found: dict[str, str] = {}
    for name, arguments in stage:
        if name == "COPY":
            copy(arguments, sources, workdir)
        elif name == "ENV":
            found |= dict(pair.split("=", 1) for pair in shlex.split(arguments))
        elif name == "RUN" and "useradd" not in arguments:
            done = subprocess.run(["sh", "-c", arguments], cwd=workdir, capture_output=True, text=True, timeout=600)
            assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]}{done.stderr[-4000:]}"
    return found


def command(stage: list[Step], name: str) -> list[str]:
    arguments = next(arguments for step, arguments in stage if step == name)
    found: list[str] = json.loads(arguments[arguments.index("[") :])
    return found


def test_the_image_would_serve(tmp_path: Path) -> None:
    sent = tmp_path / "context"
    sent.mkdir()
    sources = {"": context(sent)}
    first, last = steps()
    execute(first, sources, tmp_path / "packages")
    sources["packages"] = tmp_path / "packages"
    image = tmp_path / "image"
    variables = execute(last, sources, image)
    data, port = tmp_path / "data", str(free_port())
    env = environment(data, {"GATEWAY_ENV_FILE": "", "SERVER_HOST": variables["SERVER_HOST"], "SERVER_PORT": port})
    env["PATH"] = f"{image}/.venv/bin:{os.environ['PATH']}"
    process = subprocess.Popen(
        command(last, "CMD"), cwd=image, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_until(lambda: process.poll() is not None or up(int(port)), "the gateway answers")
        assert process.poll() is None, process.stdout and process.stdout.read()
        health = subprocess.run(
            command(last, "HEALTHCHECK"), cwd=image, env=env, capture_output=True, text=True, timeout=60
        )
        assert health.returncode == 0, health.stderr
        assert (data / "first-start.txt").exists()
        process.terminate()
        assert process.wait(LIMIT) == 0
    finally:
        process.kill()
        process.communicate()


def up(port: int) -> bool:
    try:
        return get(port, "/ready")[0] == 200
    except OSError:
        return False


def test_the_image_runs_without_rights_and_is_told_to_stop_by_sigterm() -> None:
    last = dict(steps()[-1])
    assert last["USER"] not in ("root", "0")
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert "exec python manage.py serve" in command(steps()[-1], "CMD")[-1]


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
    return found


def test_compose_gives_the_drain_its_time() -> None:
    gateway = compose()["services"]["gateway"]
    assert int(gateway["stop_grace_period"].removesuffix("s")) > 3 + 30
    assert gateway["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert all(port.startswith("127.0.0.1:") for port in gateway["ports"])


def test_compose_is_accepted() -> None:
    """By the tool where it is installed; the keys are looked at everywhere."""
    document = compose()
    assert set(document) == {"services", "volumes"}
    known = {
        "build",
        "image",
        "restart",
        "stop_grace_period",
        "ports",
        "env_file",
        "environment",
        "volumes",
        "depends_on",
        "healthcheck",
    }
    assert all(set(service) <= known for service in document["services"].values())
    mounted = {mount.partition(":")[0] for service in document["services"].values() for mount in service["volumes"]}
    assert mounted == set(document["volumes"])
    tool = (
        shutil.which("docker") and subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    )
    if tool:
        subprocess.run(["docker", "compose", "config", "--quiet"], cwd=REPOSITORY, check=True, timeout=60)
