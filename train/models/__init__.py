"""The four papers' models, redesigned from their abstracts."""
