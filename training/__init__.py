"""How the shipped `tiny` model was made: data, training, export, evaluation.

Not part of the installed package. Each step is one command; README.md lists them in their order.
"""
