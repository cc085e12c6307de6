"""LiteLLM's proxy as the one to compare with: in a venv of its own, one worker, the same upstream.

It is set up as its manual advises for production: no debug output, one worker, its aiohttp transport (its default).
A master key is set, because the gateway checks keys too; spend is not stored, because that would need PostgreSQL.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bench.servers import ROOT, Server, free_port

VERSION = "1.106.2"
MASTER_KEY = "sk-bench-not-a-secret-0123456789"
_VENV = ROOT / ".bench" / "litellm"


def command() -> Path | None:
    path = _VENV / "bin" / "litellm"
    return path if path.exists() else None


def install() -> None:
    """Some hundred megabytes from the package index."""
    subprocess.run([sys.executable, "-m", "venv", str(_VENV)], check=True)
    subprocess.run([str(_VENV / "bin" / "pip"), "install", "-q", f"litellm[proxy]=={VERSION}"], check=True)


def start(folder: Path, core: int, base_url: str, models: list[str]) -> Server:
    """Start it; being JSON, the config is YAML too. It takes some 10 s until /health/readiness answers."""
    target = {"model": "openai/bench", "api_base": base_url, "api_key": "bench-upstream"}
    config = {
        "model_list": [{"model_name": model, "litellm_params": target} for model in models],
        "general_settings": {"master_key": MASTER_KEY},
        "litellm_settings": {"set_verbose": False, "telemetry": False},
    }
    path = folder / "litellm.yaml"
    path.write_text(json.dumps(config))
    port = free_port()
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # Its price list is otherwise fetched from the internet at start.
    env = {**kept, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR"}
    arguments = ["--config", str(path), "--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return Server.start("litellm", [str(command()), *arguments], port, core, folder / "litellm.log", env)
