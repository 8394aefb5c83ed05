"""Three looks: dark, light, and the terminal's own colours, whatever they are.

The colours of the first two sit on the 256-colour cube, because COLORTERM seldom crosses SSH and what is not on it is
rounded there. Series are told apart by mark and label as well, so that no theme is needed to read a chart.
"""

from textual.theme import BUILTIN_THEMES, Theme

DARK, LIGHT, TERMINAL = "workbench-dark", "workbench-light", "workbench-terminal"

_SHADES_DARK = ("#121212", "#1c1c1c", "#262635", "#3a2f4f", "#5f305f", "#87375f", "#af5f37", "#d7af00")
_SHADES_LIGHT = ("#ffffff", "#f5f0ff", "#e4dcff", "#d7c8ff", "#ffc8dc", "#ffaf9b", "#ff8f5f", "#ff5f00")

THEMES = (
    Theme(
        name=DARK,
        dark=True,
        primary="#5fafff", secondary="#87afaf", accent="#ffaf5f", warning="#ffaf00", error="#ff5f5f", success="#5fd787",
        foreground="#d0d0d0", background="#121212", surface="#121212", panel="#262626", boost="#303030",
        variables={
            "train": "#5f87af", "smooth": "#87d7ff", "val": "#ffaf5f", "lr": "#87d787", "plan": "#5f875f",
            "floor": "#8787af", "grad": "#d7afff", "speed": "#87d7d7", "edit": "#ffd75f", "muted": "#8a8a8a",
            "line": "#444444", "over-1": "#d787d7", "over-2": "#afd75f", "over-3": "#ff8787", "over-4": "#d7d7af",
            "token-0": "#1c2b3a", "token-1": "#2b241c", "past": "#005f87", "select": "#303030",
            **{f"shade-{n}": colour for n, colour in enumerate(_SHADES_DARK)},
            "on-bright": "#000000",
        },
    ),
    Theme(
        name=LIGHT,
        dark=False,
        primary="#005faf", secondary="#5f8787", accent="#af5f00", warning="#875f00", error="#af0000", success="#00875f",
        foreground="#303030", background="#ffffff", surface="#ffffff", panel="#eeeeee", boost="#e4e4e4",
        variables={
            "train": "#87afd7", "smooth": "#005faf", "val": "#d75f00", "lr": "#00875f", "plan": "#87af87",
            "floor": "#5f5f87", "grad": "#8700af", "speed": "#008787", "edit": "#875f00", "muted": "#6c6c6c",
            "line": "#c6c6c6", "over-1": "#af00af", "over-2": "#5f8700", "over-3": "#d70000", "over-4": "#87875f",
            "token-0": "#e4eeff", "token-1": "#fff5dc", "past": "#afd7ff", "select": "#e4e4e4",
            **{f"shade-{n}": colour for n, colour in enumerate(_SHADES_LIGHT)},
            "on-bright": "#000000",
        },
    ),
    Theme(
        name=TERMINAL,
        ansi=True,
        dark=True,
        primary="ansi_bright_blue", secondary="ansi_cyan", accent="ansi_yellow", warning="ansi_yellow",
        error="ansi_bright_red", success="ansi_green", foreground="ansi_default", background="ansi_default",
        surface="ansi_default", panel="ansi_default", boost="ansi_default",
        variables={
            **BUILTIN_THEMES["ansi-dark"].variables,
            "train": "ansi_blue", "smooth": "ansi_bright_cyan", "val": "ansi_bright_yellow", "lr": "ansi_bright_green",
            "plan": "ansi_green", "floor": "ansi_magenta", "grad": "ansi_bright_magenta", "speed": "ansi_cyan",
            "edit": "ansi_bright_yellow", "muted": "ansi_bright_black", "line": "ansi_bright_black",
            "over-1": "ansi_magenta", "over-2": "ansi_green", "over-3": "ansi_red", "over-4": "ansi_white",
            "token-0": "ansi_default", "token-1": "ansi_default", "past": "ansi_blue", "select": "ansi_bright_black",
            "shade-0": "ansi_default", "shade-1": "ansi_default", "shade-2": "ansi_default", "shade-3": "ansi_blue",
            "shade-4": "ansi_blue", "shade-5": "ansi_magenta", "shade-6": "ansi_red", "shade-7": "ansi_yellow",
            "on-bright": "ansi_black",
        },
    ),
)  # fmt: skip
