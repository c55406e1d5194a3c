"""The ground: each folder hides exactly one outside thing and knows no feature."""
