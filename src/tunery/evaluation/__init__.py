"""Measures models on rows they have not seen: metrics, evaluations with every prediction kept, paired comparisons."""
