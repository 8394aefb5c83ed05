"""Choosing a file or a folder as the corpus: a path with completion, a tree, and a try before anything changes."""

import os
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from rich.text import Text as Label
from rich.text import TextType
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import DirectoryTree, Input, Static

from workbench import preset as presets
from workbench.data import catalog
from workbench.data.corpus import open_kept
from workbench.data.paths import common, complete
from workbench.data.prepare import Preparation
from workbench.errors import WorkbenchError
from workbench.preset import Preset
from workbench.screen.data.shelf import Item, choice
from workbench.screen.dialogs.base import Dialog
from workbench.screen.dialogs.typed import Typed
from workbench.screen.glyphs import plain

CANDIDATES = 12
"""Completions that are shown; typing on narrows them."""
LARGEST_FOLDER = 1000
"""Entries of a folder that the tree shows: each is a widget's line. The path reaches the rest."""
HARMLESS = r"[^\x00-\x1f\x7f-\x9f]*"
"""What the line takes: a pasted path may hold what acts on a terminal."""
LOOK = 0.1
"""Seconds between two looks at a text that is being read."""


class Tree(DirectoryTree):
    """File names are nobody's markup. Hidden ones stay hidden, as do those that could not be typed."""

    ICON_NODE, ICON_NODE_EXPANDED, ICON_FILE = "▸ ", "▾ ", "  "

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        return islice((p for p in paths if p.name.isprintable() and not p.name.startswith(".")), LARGEST_FOLDER)

    def process_label(self, label: TextType) -> Label:
        return Label(plain(str(label)))


class PathLine(Typed):
    """Tab completes what is typed; down goes to the tree."""

    BINDINGS = [  # noqa: RUF012
        Binding("tab", "complete", "complete", priority=True),
        Binding("down", "screen.tree", "tree"),
    ]

    def action_complete(self) -> None:
        if isinstance(self.screen, OpenPath):
            self.screen.complete()


class OpenPath(Dialog[Item]):
    """The answer is a text that can be read: it was read and tokenised before this closes."""

    def __init__(self, preset: Preset, folder: Path) -> None:
        super().__init__("Open a file or a folder as the corpus")
        self._preset, self._folder = preset, folder
        self._preparing: Preparation | None = None
        self._wanted: Item | None = None

    def body(self) -> ComposeResult:
        yield PathLine(placeholder="path/to/text, or a folder of text", select_on_focus=False, restrict=HARMLESS)
        yield Static("", id="candidates", classes="hint", markup=False)
        yield Static("", classes="wrong", markup=False)
        yield Tree(self._folder)
        yield Static("tab completes · ↓ the tree · enter opens", classes="hint", markup=False)

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self._offer("")
        self.set_interval(LOOK, self._look)

    def on_unmount(self) -> None:
        self._stop()

    # ------------------------------------------------------------------------------- the path

    def complete(self) -> None:
        """Lengthen the path by what all candidates share."""
        line = self.query_one(Input)
        candidates = complete(line.value, self._folder)
        longer = common(candidates)
        if len(longer) > len(line.value):
            line.value = longer  # which offers what it begins
        line.cursor_position = len(line.value)

    def _offer(self, text: str) -> None:
        found = complete(text, self._folder, CANDIDATES + 1)
        names = [plain(os.path.basename(path.rstrip("/")) + ("/" if path.endswith("/") else "")) for path in found]
        more = "  …" if len(names) > CANDIDATES else ""
        self.query_one("#candidates", Static).update("  ".join(names[:CANDIDATES]) + more or "no path begins so")

    def on_input_changed(self, event: Input.Changed) -> None:
        self._stop()
        self._say("")
        self._offer(event.value)
        tree = self.query_one(Tree)
        folder = self._path(event.value)
        if event.value.endswith("/") and not tree.has_focus and folder.is_dir() and folder != tree.path:
            tree.path = folder

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.try_path(event.value)

    def _path(self, text: str) -> Path:
        return self._folder / os.path.expanduser(text.replace("\0", ""))

    # ------------------------------------------------------------------------------- the tree

    def action_tree(self) -> None:
        self.query_one(Tree).focus()

    def on_tree_node_highlighted(self, event: DirectoryTree.NodeHighlighted[object]) -> None:
        path = getattr(event.node.data, "path", None)
        if isinstance(path, Path) and self.query_one(Tree).has_focus:
            self.query_one(Input).value = self._short(path) + ("/" if path.is_dir() else "")

    def on_directory_tree_file_selected(self, event: DirectoryTree.FileSelected) -> None:
        self.try_path(self._short(event.path))

    def _short(self, path: Path) -> str:
        return os.path.relpath(path, self._folder) if path.is_relative_to(self._folder) else str(path)

    def on_key(self, event: events.Key) -> None:
        if event.key in ("tab", "shift+tab") and self.query_one(Tree).has_focus:
            event.stop()
            self.query_one(Input).focus()

    # ------------------------------------------------------------------------------- the try

    def try_path(self, text: str) -> None:
        """Read it; leave with it if it can be learnt from, else say why not."""
        self._stop()
        if not text.strip():
            self._say("expected a path: type one, or choose in the tree with ↓")
            return
        named = text in catalog.DATASETS
        path = text if named else os.path.abspath(self._path(text.strip() if not self._path(text).exists() else text))
        self._wanted = Item("named" if named else "path", path)
        try:
            if not named:
                catalog.find(path)
            data = presets.apply(self._preset, choice(self._preset, self._wanted)[0]).data
            if named or open_kept(data) is not None:
                self.dismiss(self._wanted)
                return
        except (WorkbenchError, OSError) as error:
            self._say(str(error))
            return
        self._preparing = Preparation(data)
        self._look()

    def _look(self) -> None:
        preparing = self._preparing
        if preparing is None:
            return
        if preparing.ready:
            self._stop()
            self.dismiss(self._wanted)
        elif preparing.done:
            self._preparing = None
            self._say(preparing.error)
        else:
            self._say(f"{preparing.phase} … (esc gives up)")

    def _stop(self) -> None:
        if self._preparing is not None:
            self._preparing.close()
            self._preparing = None

    def _say(self, words: str) -> None:
        self.query_one(".wrong", Static).update(plain(words, newlines=True))
