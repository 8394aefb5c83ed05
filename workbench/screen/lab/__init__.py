"""Pane 9: choose B, T, accum and lr from measurements. Five views: plan, fit, check, sweep, compare.

pane.py      the pane: its views as tabs, its keys, the one measurement that is under way
asking.py    `workbench WORD - --json` as a process: heard line by line, cancelled with its children
view.py      what a view is: fields that are turned or typed, rows that are chosen, lines
plan.py fit.py check.py sweep.py compare.py   the views, without Textual; fit_chart.py draws what fit measured
table.py     tables of whatever a word told, in the columns that there are
"""
