"""The activation index: what every neuron of a model, or every feature of an SAE, does, on disk.

numpy only; `workbench.lab` fills it.

format.py      index.json, arrays, names          catalogue.py   columns and what they mean
bins.py        histogram bins                     families.py    rules for families of neurons
statistics.py  sums to columns                    reader.py      NeuronIndex
derived.py     all columns of a state             features.py    FeatureIndex, open_any
writer.py      checkpoints that survive a kill    examples.py    windows around peaks
merge.py       two indexes as one                 card.py        one neuron, whole
store.py       the folders: list, verify, remove  query.py       filter expressions
"""
