"""Where things lie, whether they are fresh, and how stages run over scenes."""
