"""``mfviz explore``: serve the page on this machine."""

from __future__ import annotations

import click

from mfviz import serve as serving

__all__ = ["explore"]


@click.command()
@click.option(
    "--port", type=int, help="Port to listen on; without it, 5006 or the next that is free."
)
@click.option("--show", is_flag=True, help="Open the page in the default browser.")
@click.option(
    "--desktop", is_flag=True, help="Open the page in a window of its own and end with it."
)
def explore(port: int | None, show: bool, desktop: bool) -> None:
    """Serve the explorer on 127.0.0.1 until interrupted."""
    if desktop:
        serving.desktop(port)
        return
    chosen = serving.free_port(port)
    click.echo(f"mfviz explorer: {serving.page_url(chosen)}  (Ctrl+C ends it)")
    serving.serve(chosen, show=show)
