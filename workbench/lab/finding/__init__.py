"""From what `--model` says to a folder with a checkpoint: found, fetched, converted, known by its fingerprint.

    source.py       `resolve`: a name to a folder       listing.py      the models on this machine
    hub.py          the Hugging Face hub and its cache  package.py      the default model's package
    download.py     a file, with its hash checked       convert.py      GGUF to safetensors
    checkpoint.py   what a folder holds                 fingerprint.py  which weights these are
    placement.py    which device and type they get

torch is imported inside functions at most.
"""
