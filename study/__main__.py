"""``python -m study``: the command line, for agents and wherever the script is not on the path."""

from study.cli import main

main()
