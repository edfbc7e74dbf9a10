"""Jobs: receipts, submission, results."""
