"""What experiments read: sets of prompts, and corpora. No torch, nothing of a model here."""
