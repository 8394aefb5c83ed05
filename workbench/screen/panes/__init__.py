"""The eight panes, in the order of their digits. Each draws what the bench holds, and none knows another."""
