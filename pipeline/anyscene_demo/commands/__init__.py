"""Commands that make the demo's committed files anew."""
