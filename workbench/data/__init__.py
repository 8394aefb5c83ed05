"""Text in, (x, y) rows out. numpy only: no torch, no textual."""
