"""What asks: each dialog is a modal screen that returns its answer, or None when it was left."""
