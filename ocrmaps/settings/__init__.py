"""Settings of recipe, run and thresholds files: ranges stand beside the fields, one reader and one writer use them.

`ranges` holds the marks and checks values, `files` reads and writes TOML, `schema` tells people and editors what
a file may hold.
"""
