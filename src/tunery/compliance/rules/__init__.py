"""The rules, by standard; each module registers its own. How to add one: ADDING.md beside this file."""
