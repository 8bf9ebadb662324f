"""``python -m hostagent``."""

from hostagent.cli.main import main

if __name__ == "__main__":
    main()
