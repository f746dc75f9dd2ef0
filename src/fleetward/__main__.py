"""`python -m fleetward` is the `fleetward` command."""

from fleetward.cli import main

main()
