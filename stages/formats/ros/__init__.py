"""Bags of ROS 1 and 2."""
