"""Why a score is low: mends what may be wrong in a system's output, scores it again and ranks the mends by their gain.

Read in this order: `records` (a page with its output, a cure, a diagnosis), `frames` (coordinates that count something
else), `shapes` (corners, order of points, margins), `sets` (duplicates, words against lines, score threshold),
`classes` (kinds of text that are missed), `rank` (all of them tried, the best first), `summary` (sentences and JSON),
`reading` (files), `seeded` (outputs with known faults, which the tests and `ocrmaps bench diagnose` are held against).
"""
