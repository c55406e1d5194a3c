"""``python -m tunery``: the command line."""

from tunery.cli.main import main

main()
