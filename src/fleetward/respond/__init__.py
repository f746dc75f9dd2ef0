"""What is done about a thing: quarantine and release, each a decision with a reason, carried out and undone here."""
