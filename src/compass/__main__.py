"""`python -m compass` is the `compass` command."""

from compass.cli import main

if __name__ == "__main__":  # not in the processes that it starts
    main()
