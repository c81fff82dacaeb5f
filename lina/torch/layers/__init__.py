"""State-space layers for torch and the models that are built of them."""
