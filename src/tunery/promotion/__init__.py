"""Gates and verdicts: whether a version's measurements allow it to go on, kept with the evidence."""
