"""Which lines of a long list are shown: around a cursor, or from the end."""


class Scrolled:
    """Which of a list's lines are shown: the last ones, or as many further up as someone has gone."""

    def __init__(self) -> None:
        self.back = 0
        """Lines below those that are shown."""
        self._length = self._height = 0

    def view(self, length: int, height: int) -> range:
        """The lines to show. What is added below moves nothing once someone has gone up."""
        if self.back and length > self._length:
            self.back += length - self._length
        self._length, self._height = length, height
        self.back = min(self.back, max(0, length - height))
        end = length - self.back
        return range(max(0, end - height), end)

    def move(self, by: int) -> None:
        """Down by so many lines; up if negative."""
        self.back = min(max(0, self.back - by), max(0, self._length - self._height))

    def page(self, by: int) -> None:
        self.move(by * max(1, self._height - 1))

    def to_end(self, by: int) -> None:
        """The first line for −1, the last for 1."""
        self.back = 0 if by > 0 else max(0, self._length - self._height)


class Listed:
    """A cursor in a list that is read from its top, kept on its item while the list changes around it."""

    def __init__(self) -> None:
        self.top = self._height = self._length = 0
        self.at = 0

    def view(self, length: int, height: int) -> range:
        """The lines to show, the cursor's among them."""
        self._length, self._height = length, height
        self.at = min(max(self.at, 0), max(0, length - 1))
        self.top = min(max(self.top, self.at - height + 1), self.at, max(0, length - height))
        return range(self.top, min(self.top + height, length))

    def move(self, by: int) -> None:
        self.at = min(max(0, self.at + by), max(0, self._length - 1))

    def page(self, by: int) -> None:
        self.move(by * max(1, self._height - 1))

    def to_end(self, by: int) -> None:
        self.at = self._length - 1 if by > 0 else 0
