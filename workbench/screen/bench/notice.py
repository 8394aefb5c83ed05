"""What there is to tell the user, and how loudly. No Textual."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["said", "warning", "error"]


@dataclass(frozen=True)
class Notice:
    """Something to tell the user, once."""

    text: str
    level: Level = "said"
