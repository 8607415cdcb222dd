"""The command line of this interpreter's synthjax, for benchmarks that run it as a user would."""

import sys

SYNTHJAX = [
    sys.executable,
    "-u",
    "-c",
    "import sys; from synthjax.cli import main; sys.exit(main(sys.argv[1:]))",
]
