"""`completion`: shell completion scripts."""

import click
from click.shell_completion import get_completion_class

from .common import common
from .main import cli
from .output import Output

_HOW = {
    "bash": 'eval "$(gopherctl completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(gopherctl completion zsh)" in ~/.zshrc',
    "fish": "gopherctl completion fish > ~/.config/fish/completions/gopherctl.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_HOW)))
@common
def completion(out: Output, shell: str) -> None:
    """Print a shell's completion script.

    \b
    bash, in ~/.bashrc:  eval "$(gopherctl completion bash)"
    zsh, in ~/.zshrc:    eval "$(gopherctl completion zsh)"
    fish, run once:      gopherctl completion fish > ~/.config/fish/completions/gopherctl.fish
    """
    found = get_completion_class(shell)
    assert found is not None
    script = found(cli, {}, "gopherctl", "_GOPHERCTL_COMPLETE").source()
    if not out.data({"shell": shell, "script": script}):
        click.echo(script)
        if out.terminal:
            out.note(f"To use it: {_HOW[shell]}")
