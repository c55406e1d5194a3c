"""The recipe, and the durable chain of jobs that carries it out."""
