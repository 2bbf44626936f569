"""Run ``mlflow models serve`` as a peer, in a separate environment, with a model equivalent to one head."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

VERSION = "3.4.0"
# mlflow of this version does not start with newer versions of these packages.
WITH = ("fastapi==0.117.1", "starlette==0.48.0", "uvicorn==0.36.0", "sse-starlette==3.0.2")
HOME = Path(__file__).parent.parent / ".peers" / "mlflow"
_PYTHON = HOME / "bin" / "python"
_MODEL = '''
import sys
import mlflow
import numpy as np

NAMES = ["mood", "stress", "engagement", "energy", "arousal", "morning", "evening", "since"]


class Linear(mlflow.pyfunc.PythonModel):
    """Greedy over five actions, linear in a constant and eight features, which have names as a context has."""

    def __init__(self):
        self.weights = np.random.default_rng(1).normal(size=(5, 9))

    def predict(self, context, model_input, params=None):
        rows = model_input[NAMES].to_numpy(dtype=float) if hasattr(model_input, "columns") else np.asarray(model_input, float)
        phi = np.concatenate([np.ones((len(rows), 1)), rows], axis=1)
        return (phi @ self.weights.T).argmax(axis=1)


mlflow.pyfunc.save_model(sys.argv[1], python_model=Linear(), pip_requirements=["numpy"])
'''


def mlflow_command(home: Path, port: int, workers: int) -> tuple[list[str], str]:
    """Return the command that serves the model, and mlflow's version. The first use installs it (a few minutes, 1 GB)."""
    if not _PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(HOME)], check=True)
    print_version = [str(_PYTHON), "-c", "import mlflow; print(mlflow.__version__)"]
    if subprocess.run(print_version, capture_output=True, check=False).returncode:
        subprocess.run([str(_PYTHON), "-m", "pip", "install", "--quiet", f"mlflow=={VERSION}", *WITH], check=True)
    version = subprocess.run(print_version, capture_output=True, text=True, check=True).stdout.strip()
    subprocess.run([str(_PYTHON), "-c", _MODEL, str(home / "model")], check=True, cwd=home)
    command = [
        str(HOME / "bin" / "mlflow"), "models", "serve", "--model-uri", str(home / "model"), "--env-manager", "local",
        "--host", "127.0.0.1", "--port", str(port), "--workers", str(workers),
    ]  # fmt: skip
    return command, version


_VALUES = [0.1, 0.4, 0.4, 0.6, 0.3, 1.0, 0.0, 2.0]
_NAMES = ["mood", "stress", "engagement", "energy", "arousal", "morning", "evening", "since"]


def mlflow_requests() -> dict[str, list[list[Any]]]:
    """Return constant request bodies, as mlflow keeps no state: features by name (as in a decision), and a bare tensor."""
    named = {"dataframe_records": [dict(zip(_NAMES, _VALUES, strict=True))]}
    return {"names": [[None, json.dumps(named)]], "tensor": [[None, json.dumps({"inputs": [_VALUES]})]]}
