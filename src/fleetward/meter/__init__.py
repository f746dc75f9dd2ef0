"""What devices did, counted: METRICS and the packed batches that carry the counts from the gateway to detection."""
