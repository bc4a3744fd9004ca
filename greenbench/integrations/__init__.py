"""One line for trainers that people have: energy, power and grams by step, phases, and a stop at a budget.

``greenbench.integrations.transformers``: a callback for ``transformers.Trainer``, and ``attach(trainer)``.
``greenbench.integrations.lightning``: a callback for Lightning.
``greenbench.integrations.session``: plain calls for a loop of one's own.

Each module imports the library it is for, none imports torch by itself.
"""
