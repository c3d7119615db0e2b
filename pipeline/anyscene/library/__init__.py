"""The library for programs: one scene, with arrays in and arrays out."""
