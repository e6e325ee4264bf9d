"""Edits as weights: a copy of the model that does by itself what the edited one does, as a Hugging Face folder."""
