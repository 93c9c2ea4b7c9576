"""What an encoder of points learns from, one method a file."""
