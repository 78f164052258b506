"""Tools around the package, each run as `python -m scripts.NAME`."""
