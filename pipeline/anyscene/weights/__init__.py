"""Published weights: a catalogue of them, reading them without running any code, fetching them."""
