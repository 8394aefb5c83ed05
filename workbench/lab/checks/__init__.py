"""One module a check: `tell` makes a trial's figures into tables, sentences and what holds."""
