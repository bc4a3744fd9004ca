"""greenbench: the best speech representation per joule, measured."""
