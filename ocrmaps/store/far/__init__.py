"""Reads versions in object storage through their stand-in: `version` opens one, `rows` brings rows before their use."""
