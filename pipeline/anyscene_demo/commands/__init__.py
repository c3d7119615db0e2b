"""Commands that make the committed files of the demo again."""
