"""Models of Hugging Face transformers beyond their trained length; transformers is imported by `extend` alone."""
