"""What can be done with whole recordings: summed up, pictured, converted."""
