"""``python -m gliamap``, which is how torchrun starts it."""

from gliamap.cli.app import main
from gliamap.cli.launched import one_voice

if __name__ == "__main__":
    with one_voice():
        main()
