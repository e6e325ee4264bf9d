"""Answers of libraries that can't be installed beside ours: made in an environment of their own, and recorded."""
