"""`python -m simcrop_core.cli`: for where there are no console scripts."""

from simcrop_core.cli.main import main

main()
