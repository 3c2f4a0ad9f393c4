"""Groups of commands that suggest the right name for a misspelt one. Only click is imported here."""

import click


class SuggestingGroup(click.Group):
    """A group that says `Did you mean ...?` for a command that it does not have."""

    def has_command(self, name: str) -> bool:
        """Return whether there is such a command, also one that --help does not show."""
        return name in self.commands

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not self.has_command(args[0]) and not args[0].startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(args[0], self.list_commands(ctx), 3, 0.5)
            near = " or ".join(f"`{ctx.command_path} {name}`" for name in close)
            ctx.fail(f"unknown command {args[0]!r}.{f' Did you mean {near}?' if near else ''}")
        return super().resolve_command(ctx, args)
