"""``python -m interlay`` is the ``interlay`` command."""

from interlay.cli import main

if __name__ == "__main__":
    main()
