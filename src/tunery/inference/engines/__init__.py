"""The built-in engines; ``ADDING.md`` says how to write another."""
