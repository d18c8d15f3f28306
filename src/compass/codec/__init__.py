"""The layer recursion: encoder and decoder of whole files."""
