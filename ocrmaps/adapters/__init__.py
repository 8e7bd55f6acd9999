"""Feeds prepared versions to other trainers: each module turns a `Batch` into what one project's loss takes.

    from ocrmaps.adapters import doctr, mmocr, paddle, plain

`plain` is float tensors by name; the others have the names, shapes, value ranges and order of their project. Nothing of
the projects is imported: targets are drawn already, and these are their layouts. Build the version with the project's
own maps, `[maps] style = "official"`; docs/how-to/use-with-*.md says where its targets differ from these.
"""
