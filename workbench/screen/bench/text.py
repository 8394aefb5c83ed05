"""The corpus on the screen: open at once where its tokens are kept, else made ready by a process of its own."""

from workbench.data import catalog
from workbench.data.corpus import Corpus, open_kept
from workbench.data.entropy import Floors
from workbench.data.floors import exact_floor, kept_floors
from workbench.data.prepare import Preparation
from workbench.errors import WorkbenchError
from workbench.preset import DataTable


class Text:
    """What `data` describes. One of `corpus`, `phase` and `error` tells where it stands."""

    def __init__(self, data: DataTable) -> None:
        self.data = data
        self.corpus: Corpus | None = None
        self.floors: Floors | None = None
        self.exact: float | None = None
        """The loss that nothing beats, where it is known."""
        self.error = ""
        self.misfit = ""
        """Why no row of the present T fits into it."""
        self.preparing: Preparation | None = None
        try:
            self.corpus = open_kept(data)
        except WorkbenchError as error:
            self.error = str(error)
            return
        if self.corpus is not None:
            self._measure()
        if (self.corpus is None or self.floors is None) and not self.to_fetch:
            self.preparing = Preparation(data)

    @property
    def to_fetch(self) -> bool:
        """It is a dataset that nobody has downloaded yet."""
        named = catalog.DATASETS.get(self.data.dataset)
        return not self.data.text and named is not None and not named.here

    @property
    def phase(self) -> str:
        """What is being done to it; "" when nothing is."""
        return self.preparing.phase if self.preparing and not self.preparing.done else ""

    def fetch(self) -> None:
        """Download it and make it ready."""
        self.close()
        self.error = ""
        self.preparing = Preparation(self.data, fetch=True)

    def cancel(self) -> None:
        if self.preparing and not self.preparing.done:
            self.close()
            self.error = "cancelled: choose it again to go on"

    def tick(self) -> bool:
        """Whether anything has changed since the last look."""
        preparing = self.preparing
        if preparing is None:
            return False
        if self.corpus is None and preparing.ready:
            try:
                self.corpus = open_kept(self.data)
            except WorkbenchError as error:
                self.error = str(error)
        if preparing.done:
            self.preparing = None
            if preparing.error:
                self.error = preparing.error
            elif self.corpus is not None:
                self._measure()
                self.floors = self.floors or preparing.floors
            preparing.close()
        return True

    def close(self) -> None:
        if self.preparing is not None:
            self.preparing.cancel()
            self.preparing.close()
            self.preparing = None

    def _measure(self) -> None:
        assert self.corpus is not None
        self.floors, self.exact = kept_floors(self.corpus), exact_floor(self.corpus)
