"""What is on the screen, without a screen: the draft, the run that is followed, what is staged and what was asked."""
