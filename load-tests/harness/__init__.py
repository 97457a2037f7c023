"""The load harness of hopgate: see load-tests/README.md."""
