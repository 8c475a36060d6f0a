"""Text: documents with gaps, tokenizers, and the canvas that a model works on.

Import from the modules: documents are read and printed without loading torch.
"""
