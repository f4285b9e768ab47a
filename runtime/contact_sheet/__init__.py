"""Contact sheets: a run's pictures in one labelled grid (``run-graph --contact-sheet``)."""
