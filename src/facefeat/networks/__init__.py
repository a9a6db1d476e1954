"""The networks of a model: classifier and decoder in batches, postprocessing, fingerprints."""
