"""The Lesson pane, there only while a lesson is open: what to read, predict and run, and what came out.

pane.py      the pane: its keys, and what it has the other panes show
session.py   where one stands: the part, its pages, what was predicted, what came out. No Textual
lending.py   what its words tell, in the Lab pane
work.py      a part's runs and words, one after another. No Textual
lines.py     pages as lines. No Textual
"""
