"""``python -m greenbench``."""

from greenbench.cli import main

main()
