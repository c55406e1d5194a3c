"""What is told to others of a version: the dataset card, and the dataset as Croissant has it."""
