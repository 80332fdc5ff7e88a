"""`python -m gofleet`."""

from gofleet.cli import main

main()
