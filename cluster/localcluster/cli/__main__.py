"""`python -m localcluster.cli`, where the command itself is not on PATH."""

from localcluster.cli import main

main()
