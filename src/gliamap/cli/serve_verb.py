"""The verb serve."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from gliamap.cli.show import plain, remark, say
from gliamap.errors import ConfigError

_NETWORK = "For others on the network"

Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", help="Run or model folder, or a shipped model. Repeatable. Default: the shipped one that fits."
    ),
]
Roots = Annotated[
    list[Path] | None, typer.Option("--root", help="Folder whose scans may be chosen in the app. Repeatable.")
]
Data = Annotated[Path | None, typer.Option(help="Folder of the cases. Default: ~/.local/share/gliamap.")]
Port = Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")]
AtOnce = Annotated[int, typer.Option("--jobs", min=1, max=16, help="Cases segmented at a time.")]
Host = Annotated[
    str,
    typer.Option(
        help="Address to listen on. Others than this machine's own: with --allow-network.", rich_help_panel=_NETWORK
    ),
]
AllowNetwork = Annotated[
    bool,
    typer.Option(
        "--allow-network",
        help="Let other machines in, by the password in GLIAMAP_PASSWORD (asked for where it is unset). The "
        "connection is not encrypted.",
        rich_help_panel=_NETWORK,
    ),
]


def serve(
    model: Models = None,
    root: Roots = None,
    data: Data = None,
    port: Port = 8000,
    jobs: AtOnce = 1,
    host: Host = "127.0.0.1",
    allow_network: AllowNetwork = False,
) -> None:
    """Segment scans in the browser: a web app on this machine, for you alone.

    Open the link that is printed; it signs in once, and the next one follows.
    Ctrl-C ends the app and its jobs; the cases are there again at the next start.

    Examples:

    gliamap serve --model run

    gliamap serve --model run --root scans --port 9000
    """
    from gliamap.server.serve import serve as run
    from gliamap.server.settings import ServerSettings, is_loopback

    if not is_loopback(host) and not allow_network:
        raise ConfigError(
            f"{host} can be reached by others",
            expected="127.0.0.1, or --allow-network and a password",
            remedy="leave --host out; from elsewhere come through an SSH tunnel",
        )
    password = None if is_loopback(host) else _password()
    settings = ServerSettings(
        data=(data or _usual_folder()).absolute(),
        models=_models(model or []),
        choosing=not model,
        roots=tuple(_root(path) for path in root or []),
        host=host,
        port=port,
        password=password,
        jobs=jobs,
    )
    try:
        run(settings, _announce)
    except KeyboardInterrupt:
        remark("stopped")


def _announce(address: str, link: str | None) -> None:
    if link is None:
        say(f"gliamap at {plain(address)}, with your password")
        remark("[yellow]Whoever can listen on this network can read the scans: the connection is not encrypted.[/]")
    else:
        say(f"open {plain(link)}")
        remark("The link signs in one browser. Research use only; Ctrl-C ends the app.")


def _password() -> str:
    said = os.environ.get("GLIAMAP_PASSWORD")
    return said or str(typer.prompt("Password for the app", hide_input=True, confirmation_prompt=True))


def _usual_folder() -> Path:
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "gliamap"


def _root(path: Path) -> Path:
    if not path.is_dir():
        raise ConfigError(f"{path} is no folder", expected="a folder of scans", remedy="check the path given as --root")
    return path.resolve()


def _models(said: list[str]) -> dict[str, Path]:
    """The models by the names that the app shows: of a run ``RUN``, of several of one name ``RUN-2``."""
    from gliamap.models.shipped import resolve_model, shipped_names

    named: dict[str, Path] = {}
    for path in map(Path, said or shipped_names()):
        own = path.resolve().name
        name, number = own, 2
        while name in named:
            name, number = f"{own}-{number}", number + 1
        named[name] = resolve_model(path).resolve()
    return named
