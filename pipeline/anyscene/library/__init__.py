"""The front door for programs: one scene, arrays in, arrays out."""
