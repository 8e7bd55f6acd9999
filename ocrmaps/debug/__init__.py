"""Debug bundles as files: written whole or not at all, without secrets, listed, asked, compressed and removed.

A bundle is one folder `<run>/debug/<UTC time>_<reason>/` with a `bundle.json` that names all its files. What is in it
and how a captured step is repeated is the business of the pipelines; nothing here needs torch.
"""
