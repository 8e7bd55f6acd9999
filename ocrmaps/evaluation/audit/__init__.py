"""Finds wrong labels: every annotated outline and every text without one is compared with what a detector saw.

`audit(samples, evidence)` gives an `AuditResult`: findings ranked by probability, and a score for every picture.
Read in this order: records, traits (what is measured of an outline), faults (errors put in on purpose), odds (from
measures to probabilities, learnt on those errors), pages (outlines of another frame or picture), judge, tables.
"""
