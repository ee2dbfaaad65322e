"""``python -m engine.cli`` in, the same as ``tracefuse`` out, where nothing is installed."""

from engine.cli import main

main(prog_name="tracefuse")
