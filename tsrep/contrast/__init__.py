"""What an encoder of series learns from, one method a file."""
