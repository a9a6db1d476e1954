"""The group of all commands: the built-in ones imported on use, then those that plugins add."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from facefeat.cli._usage import unknown_command, with_examples
from facefeat.errors import FacefeatError, PluginError
from facefeat.utils.text import one_line

if TYPE_CHECKING:
    from facefeat.plugins.loading import Plugin, PluginProblem

_PLUGIN = "facefeat.cli.plugin"
GROUPS = ("data", "plugins")
"""Commands that have commands of their own."""
_NAME = re.compile(r"\w[\w.-]*")


@dataclass(frozen=True)
class Lazy:
    """A command that is imported when it is used: its module, its name there, and its line in the help."""

    module: str
    attribute: str
    help: str

    def load(self) -> click.Command:
        """Import the command."""
        command: click.Command = getattr(import_module(self.module), self.attribute)
        return command


class Commands(click.Group):
    """`facefeat`: prints its help without importing a command, and finds the commands of plugins."""

    def __init__(self, *args: Any, lazy: Mapping[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = dict(lazy or {})

    @cached_property
    def _plugin_commands(self) -> dict[str, tuple[click.Command, Plugin]]:
        from facefeat.plugins.registry import warn

        commands, problems = plugin_commands(self._lazy)
        for problem in problems:
            warn(problem)
        return commands

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The built-in commands in their own order, then those of plugins by name."""
        return [*self._lazy, *sorted(self._plugin_commands)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command by its name; plugins are loaded only where no built-in has it."""
        if cmd_name in self._lazy:
            return with_examples(self._lazy[cmd_name].load(), cmd_name)
        if cmd_name in self._plugin_commands:
            command, plugin = self._plugin_commands[cmd_name]
            ctx.meta[_PLUGIN] = plugin
            return command
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, but an unknown command's error names the nearest ones and all."""
        name = args[0]
        if not ctx.resilient_parsing and not name.startswith("-") and self.get_command(ctx, name) is None:
            groups = [
                c for c in (self._lazy[n].load() for n in GROUPS if n in self._lazy) if isinstance(c, click.Group)
            ]
            ctx.fail(unknown_command(name, self.list_commands(ctx), groups))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands for the help, from the table rather than from the commands themselves."""
        rows = [(name, lazy.help) for name, lazy in self._lazy.items()]
        limit = formatter.width - 6 - max(len(n) for n in self.list_commands(ctx))
        more = [
            (name, one_line(f"{command.get_short_help_str(limit)} [{plugin.distribution}]"))
            for name, (command, plugin) in sorted(self._plugin_commands.items())
            if not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows + more)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command; what it returns is dropped, so that only `ctx.exit(code)` sets the exit code.

        Raises PluginError where the command is a plugin's and fails with an error that is not facefeat's or click's.
        """
        try:
            super().invoke(ctx)
        except (FacefeatError, click.ClickException, click.Abort, click.exceptions.Exit, OSError):
            raise
        except Exception as e:
            if _PLUGIN not in ctx.meta:
                raise
            from facefeat.plugins.loading import describe

            plugin: Plugin = ctx.meta[_PLUGIN]
            name = ctx.invoked_subcommand
            raise PluginError(
                f"command {name!r} of plugin {plugin.distribution} {plugin.version} failed: {describe(e)}. "
                f"Its traceback: facefeat -v {name} ..."
            ) from e


def plugin_commands(
    reserved: Mapping[str, Any],
) -> tuple[dict[str, tuple[click.Command, Plugin]], list[PluginProblem]]:
    """Every command of every plugin with its plugin, and the problems; none may take an existing name.

    Without an installed plugin nothing is loaded, so that `facefeat --help` stays fast.
    """
    from facefeat.plugins import loading as loading

    if not loading.find()[0]:
        return {}, []
    from facefeat.plugins.registry import get_registry

    out: dict[str, tuple[click.Command, Plugin]] = {}
    problems: list[PluginProblem] = []
    for plugin in get_registry().plugins:
        # A group of its own: a plugin sees no command of ours, and cannot change one.
        scratch = click.Group("facefeat")
        given, error = loading.guarded(_call, plugin, scratch)
        if error is not None:
            problems.append(plugin.problem(f"facefeat_commands: {loading.describe(error)}", error))
            continue
        for name, command in (given or {}).items():
            if not _NAME.fullmatch(str(name)):
                problems.append(plugin.problem(f"command {name!r}: a name has letters, digits, '-' and '_'"))
            elif name in reserved or name in out:
                owner = out[name][1].distribution if name in out else "facefeat"
                problems.append(plugin.problem(f"command {name!r} is {owner}'s already; it was left out"))
            elif not isinstance(command, click.Command):
                problems.append(plugin.problem(f"command {name!r} is no click command"))
            else:
                out[name] = (command, plugin)
    return out, problems


def _call(plugin: Plugin, group: click.Group) -> dict[str, Any]:
    plugin.manager.hook.facefeat_commands(cli=group)
    return dict(group.commands)
