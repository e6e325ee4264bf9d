"""One folder a screen, named as what is on the screen."""
