"""Answers and scores from a model version: engines are child processes that one key holder may ask."""
