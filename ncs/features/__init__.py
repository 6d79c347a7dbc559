"""Features: vocabulary and bucket edges learnt on the training days, samples as ids, a day's profile."""
