"""What interlay is tested with, and users may test with too."""
