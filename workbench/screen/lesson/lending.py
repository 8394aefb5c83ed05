"""What a part's words tell stands in the Lab pane, as if it had been asked there."""

from workbench.lab.lessons import Word
from workbench.screen.lab.asking import Told
from workbench.screen.lab.fit import FIT, SCENARIOS
from workbench.screen.lab.pane import Lab
from workbench.screen.lab.view import Name, View
from workbench.screen.lesson.session import Session

NAMES: dict[str, Name] = {"plan": "plan", "fit": "fit", "check": "check"}
"""The Lab pane's views by the words that a lesson may run."""


class Lending:
    """Remembers how much of it the Lab pane has heard."""

    def __init__(self) -> None:
        self._word: list[Told] | None = None
        """What the word has told that was lent last."""
        self._heard = 0

    def prepare(self, session: Session, lab: Lab) -> None:
        """The view of the word that the part begins with, before it has told anything."""
        self._word = None
        if session.part.words:
            word = session.part.words[0]
            lab.action_view(NAMES[word.word])
            _set(lab.view, word)
            self.lend(session, lab)

    def lend(self, session: Session, lab: Lab) -> bool:
        """What has been told since. Whether there was anything."""
        begun = [
            (word, session.kept.heard[word.name]) for word in session.part.words if word.name in session.kept.heard
        ]
        if not begun or (lab.asking is not None and lab.asking.code is None):
            return False
        word, told = begun[-1]
        view = lab.views[NAMES[word.word]]
        if told is not self._word:
            self._word, self._heard = told, 0
            lab.action_view(NAMES[word.word])
            _set(view, word)
            view.begin()
        fresh, self._heard = told[self._heard :], len(told)
        for it in fresh:
            view.hear(it)
        return bool(fresh)


def _set(view: View, word: Word) -> None:
    """The view's fields say what the lesson's word was asked."""
    arguments = word.arguments
    if word.word == "check":
        view.fields[0].value = next((it for it in arguments if it in view.fields[0].options), view.fields[0].value)
    elif word.word == "fit":
        what, limit = view.fields
        what.value = SCENARIOS if "--scenarios" in arguments else FIT
        at = arguments.index("--memory-limit") + 1 if "--memory-limit" in arguments else len(arguments)
        limit.value = arguments[at] if at < len(arguments) else ""
