"""The two demo data sets, made offline of handwritten digits: complete or absent."""
