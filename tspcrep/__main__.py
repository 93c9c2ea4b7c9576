"""``python -m tspcrep`` is the command ``tspcrep``."""

from tspcrep.command import main

if __name__ == "__main__":
    main()
