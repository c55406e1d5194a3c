"""Models, versions, adapters, stages, signatures."""
