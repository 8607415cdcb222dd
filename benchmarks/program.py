"""This interpreter's synthjax in processes of its own, for benchmarks that run it as a user would."""

import json
import subprocess
import sys
from typing import Any

SYNTHJAX = [
    sys.executable,
    "-u",
    "-c",
    "import sys; from synthjax.cli import main; sys.exit(main(sys.argv[1:]))",
]


def machine() -> dict[str, Any]:
    """``synthjax.training.bench.machine`` of this command, whose process leaves the devices again.

    JAX takes three quarters of a GPU's memory with the first question about it; the runs are to have that.
    """
    ask = (
        "import json, sys; from synthjax.training import bench; print(json.dumps(bench.machine(sys.argv[1])))"
    )
    command = " ".join(["python", *sys.argv])
    answer = subprocess.run([sys.executable, "-c", ask, command], stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)
