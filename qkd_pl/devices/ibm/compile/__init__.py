"""From tapes to a priced plan of jobs; nothing is sent from here."""
