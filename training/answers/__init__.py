"""Learning to answer questions about photos, on the frozen encoder of a captioner."""
