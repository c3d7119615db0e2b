"""A scene in the browser: its layers, the heat of a text, and what is known of a point."""
