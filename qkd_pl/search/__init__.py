"""From a teacher to the student that runs best on one device."""
