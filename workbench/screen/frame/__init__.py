"""What the panes stand in: slots, bars, themes, drawing line by line, the link to the terminal."""
