"""Exchanges versions with object storage: `push` sends one, `pull` brings one, each only what the other side lacks.

A version is the same files here and there. It appears only complete: its manifest is written last, unless there is one.
"""
