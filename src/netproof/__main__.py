"""``python -m netproof``: the same command as the console script."""

from netproof.cli.main import main

if __name__ == "__main__":
    main()
